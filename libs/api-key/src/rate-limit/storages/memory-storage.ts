import { RecallCache } from '../../model/recall-cache';
import { type Hit, KEEP_MS, type LimitPolicy, SlidingWindow } from './sliding-window';
import { ApiKeyThrottlerStorage, type Bucket, type Hits } from './storage';

const MAX_KEYS = 100_000;
const LOOK_AT = 2;

/**
 * Counts in the memory of this process, without I/O and without timers. Each instance counts for
 * itself. Beyond `maxKeys`, the least recently used key is evicted. Expired keys are evicted
 * earlier.
 */
export class MemoryThrottlerStorage extends ApiKeyThrottlerStorage {
  private readonly windows: RecallCache<SlidingWindow>;

  /**
   * @param maxKeys 1 or more. A key takes about half a kilobyte, 2 if it is used throughout an
   *   hour, 7 if it is used 256 times or more within its window. Default 100,000
   * @param now milliseconds on a clock that never goes back
   * @param keepMs how long use is kept at least, for windows that become longer. Default: an hour
   */
  constructor(
    maxKeys: number = MAX_KEYS,
    private readonly now: () => number = () => performance.now(),
    private readonly keepMs: number = KEEP_MS,
  ) {
    super();
    this.windows = new RecallCache(maxKeys);
  }

  override hit(key: string, policy: LimitPolicy, cost: number): Hit {
    const now = this.now();
    const known = this.windows.recall(key);
    if (known) return known.hit(now, cost, policy);
    const window = new SlidingWindow(this.keepMs);
    const hit = window.hit(now, cost, policy);
    if (hit.passed) this.keep(key, window, now);
    return hit;
  }

  override hitAll(buckets: readonly Bucket[], cost: number): readonly Hit[] {
    const [only] = buckets;
    if (only === undefined) return [];
    if (buckets.length === 1) return [this.hit(only.key, only.policy, cost)];
    const now = this.now();
    const windows = buckets.map(({ key, policy }) => ({ key, policy, window: this.windowOf(key) }));
    const refusals = windows.map(({ window, policy }) => window.refusal(now, cost, policy));
    if (refusals.some((refusal) => refusal !== null))
      return windows.map(({ window, policy }, at) => refusals[at] ?? window.state(now, policy));
    const hits = windows.map(({ window, policy }) => window.take(now, cost, policy));
    for (const { key, window } of windows) this.keep(key, window, now);
    return hits;
  }

  override refusalOf(buckets: readonly Bucket[], cost: number): Hits | null {
    const now = this.now();
    const refusals = buckets.map(
      ({ key, policy }) => this.windows.recall(key)?.refusal(now, cost, policy) ?? null,
    );
    return refusals.some((refusal) => refusal !== null) ? refusals : null;
  }

  /** Raises the use of a bucket within the window that ends now to at least `used`. */
  atLeast({ key, policy }: Bucket, used: number): void {
    const now = this.now();
    const window = this.windowOf(key);
    window.atLeast(now, used, policy);
    this.keep(key, window, now);
  }

  /** The use of a key within the window that ends now. */
  used(key: string, { windowMs }: LimitPolicy): number {
    return this.windows.recall(key)?.usedIn(this.now(), windowMs) ?? 0;
  }

  /** How many keys are stored. */
  get size(): number {
    return this.windows.size;
  }

  private windowOf(key: string): SlidingWindow {
    return this.windows.recall(key) ?? new SlidingWindow(this.keepMs);
  }

  /**
   * Stores the window of a key. Call `keep` after the window has counted something, because an
   * empty window is expired, and is evicted.
   */
  private keep(key: string, window: SlidingWindow, now: number): void {
    if (this.windows.has(key)) return;
    this.dropOver(now);
    this.windows.set(key, window);
  }

  /**
   * Checks the two least recently used keys each time a key is added, and evicts them if they are
   * expired. So memory shrinks without a timer. A key that is not expired becomes the most recently
   * used key, so that the next call checks other keys.
   */
  private dropOver(now: number): void {
    let looked = 0;
    for (const key of this.windows.oldest()) {
      if (++looked > LOOK_AT) return;
      if (this.windows.recall(key)?.isOver(now)) this.windows.delete(key);
      else this.windows.touch(key);
    }
  }
}
