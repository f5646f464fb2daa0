import { RecallCache } from '../recall-cache';
import { type Hit, type LimitPolicy, SlidingWindow } from './sliding-window';
import { ApiKeyThrottlerStorage } from './storage';

const MAX_KEYS = 100_000;
const LOOK_AT = 2;

interface Counted {
  readonly window: SlidingWindow;
  windowMs: number;
}

/**
 * Counts in the memory of this process, without I/O and without timers: several instances count apart. Bounded: beyond
 * `maxKeys` the key whose last hit is longest ago is forgotten; those whose windows are over make room before that.
 */
export class MemoryThrottlerStorage extends ApiKeyThrottlerStorage {
  private readonly counted: RecallCache<Counted>;

  /**
   * @param maxKeys 1 or more; each takes about half a kilobyte, and 5 where it is used 256 times or more within its window. Default 100,000
   * @param now milliseconds on a clock that never goes back
   */
  constructor(
    maxKeys: number = MAX_KEYS,
    private readonly now: () => number = () => performance.now(),
  ) {
    super();
    this.counted = new RecallCache(maxKeys);
  }

  override hit(key: string, policy: LimitPolicy, cost: number): Hit {
    const now = this.now();
    const counted = this.counted.recall(key) ?? this.begin(key, now);
    counted.windowMs = policy.windowMs;
    return counted.window.hit(now, cost, policy);
  }

  override refusalOf(key: string, policy: LimitPolicy, cost: number): Hit | null {
    return this.counted.recall(key)?.window.refusal(this.now(), cost, policy) ?? null;
  }

  /** What a key has used within the window that ends now. */
  used(key: string, { windowMs }: LimitPolicy): number {
    return this.counted.recall(key)?.window.usedIn(this.now(), windowMs) ?? 0;
  }

  /** How many keys are counted now. */
  get size(): number {
    return this.counted.size;
  }

  private begin(key: string, now: number): Counted {
    this.dropOver(now);
    const counted = { window: new SlidingWindow(), windowMs: 0 };
    this.counted.set(key, counted);
    return counted;
  }

  /**
   * For each key that comes, up to two go whose windows are over: so memory shrinks again without a timer. Those that are in use
   * make way for the ones behind them.
   */
  private dropOver(now: number): void {
    let looked = 0;
    for (const key of this.counted.oldest()) {
      if (++looked > LOOK_AT) return;
      const counted = this.counted.recall(key);
      if (counted?.window.isOver(now, counted.windowMs)) this.counted.delete(key);
      else this.counted.touch(key);
    }
  }
}
