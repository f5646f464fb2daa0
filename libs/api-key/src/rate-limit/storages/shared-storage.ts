import { LRUCache } from 'lru-cache';
import { inTime } from '../../database/deadline';
import type { Hit, LimitPolicy } from './sliding-window';
import { ApiKeyThrottlerStorage, type Bucket, type Hits } from './storage';

/** Default deadline of one statement, in milliseconds. `waitAtLeast` can raise it. */
const GIVE_UP_MS = 500;
const MAX_REFUSALS = 100_000;
/**
 * Longest time that a refusal is cached, in milliseconds. Then the database is asked again, because
 * somebody may have reset the count by hand.
 */
const BELIEVE_MS = 10_000;
/** How many hits one queue can contain. */
const MAX_WAITING = 10_000;

/** The state of one bucket after the granted hits. */
export interface BucketState {
  readonly remaining: number;
  /** As in `Hit`, in milliseconds. */
  readonly resetMs: number;
  /**
   * As in `Hit`, in milliseconds, for the first hit that was not granted. 0 if all hits were
   * granted, or if the first refused hit fits in this bucket.
   */
  readonly retryAfterMs: number;
}

/** The result of several hits of the same cost on several buckets. */
export interface Taken {
  /** How many of the hits fit in every bucket. */
  readonly granted: number;
  /** In the order of the buckets. */
  readonly buckets: readonly BucketState[];
}

/** The queue of a key is full. The database has not failed. */
export class TooManyWaiting extends Error {
  constructor() {
    super(`${MAX_WAITING} hits of one key wait to be counted`);
  }
}

interface Waiting {
  readonly buckets: readonly Bucket[];
  readonly cost: number;
  readonly since: number;
  readonly resolve: (hits: Hits) => void;
  readonly reject: (error: unknown) => void;
}

interface Refusal {
  readonly until: number;
  readonly fitsAt: number;
  readonly resetAt: number;
  readonly remaining: number;
  readonly policy: LimitPolicy;
}

/**
 * Counts in a database that several instances share. Hits wait in one queue for each last bucket,
 * because keys of one lineage share that bucket. Each queue sends one statement at a time. Waiting
 * hits on the same buckets and of the same cost are sent together. A refusal is cached until a hit
 * would fit, but at most 10 s, so that further requests of that caller cost almost nothing.
 */
export abstract class SharedThrottlerStorage extends ApiKeyThrottlerStorage {
  private readonly lines = new Map<string, Waiting[]>();
  /** Created at the first refusal, because the cache reserves its memory at once. */
  private refusals: LRUCache<string, Refusal> | undefined;
  private giveUpMs = GIVE_UP_MS;

  /**
   * Counts hits of one cost, as many of them as fit in every bucket, in one atomic statement.
   * @param buckets of different keys, sorted by key. If there are none, nothing is counted
   * @param timeoutMs milliseconds after which no caller waits for the result any more
   */
  protected abstract take(
    buckets: readonly Bucket[],
    cost: number,
    count: number,
    timeoutMs: number,
  ): Promise<Taken>;

  /**
   * Raises the deadline of a statement, if it is shorter than `ms`.
   * @param ms milliseconds
   */
  waitAtLeast(ms: number): void {
    this.giveUpMs = Math.max(this.giveUpMs, ms);
  }

  /** Prepares the database, so that the first hit does not wait for it. Counts nothing. */
  async prepare(): Promise<void> {
    await inTime(GIVE_UP_MS, this.take([], 1, 0, GIVE_UP_MS), () => tooLate(GIVE_UP_MS));
  }

  /** @throws TooManyWaiting if the queue is full */
  override async hitAll(buckets: readonly Bucket[], cost: number): Promise<Hits> {
    if (buckets.length === 0) return [];
    return this.refusalOf(buckets, cost) ?? this.ask(buckets, cost);
  }

  /** The cached refusal of a hit, if the hit cannot fit yet. */
  override refusalOf(buckets: readonly Bucket[], cost: number): Hits | null {
    const refusals = buckets.map((bucket) => this.refusalIn(bucket, cost));
    return refusals.some((refusal) => refusal !== null) ? refusals : null;
  }

  private refusalIn({ key, policy }: Bucket, cost: number): Hit | null {
    const known = this.refusals?.get(refusalKey(key, cost));
    if (known === undefined) return null;
    const now = performance.now();
    if (now >= known.until || !isSame(policy, known.policy)) return null;
    const { fitsAt, resetAt, remaining } = known;
    return { passed: false, remaining, resetMs: Math.max(0, resetAt - now), retryAfterMs: fitsAt - now };
  }

  private ask(buckets: readonly Bucket[], cost: number): Promise<Hits> {
    return new Promise((resolve, reject) => {
      const waiting = { buckets, cost, since: performance.now(), resolve, reject };
      const key = (buckets.at(-1) as Bucket).key;
      const line = this.lines.get(key);
      if (line && line.length >= MAX_WAITING) throw new TooManyWaiting();
      if (line) return void line.push(waiting);
      this.lines.set(key, [waiting]);
      void this.serve(key);
    });
  }

  /**
   * Sends waiting hits until the queue is empty. A hit that waited past its deadline is rejected
   * instead, because no caller waits for the result.
   */
  private async serve(key: string): Promise<void> {
    for (let line = this.lines.get(key); line && line.length > 0; line = this.lines.get(key)) {
      const { together, rest } = split(line);
      this.lines.set(key, rest);
      const since = performance.now() - this.giveUpMs;
      const current = together.filter((waiting) => waiting.since > since);
      for (const waiting of together) if (waiting.since <= since) waiting.reject(tooLate(this.giveUpMs));
      if (current.length > 0) await this.serveTogether(current);
    }
    this.lines.delete(key);
  }

  private async serveTogether(together: readonly Waiting[]): Promise<void> {
    const asked = performance.now();
    const { giveUpMs } = this;
    const { buckets, cost } = together[0] as Waiting;
    const order = sortedByKey(buckets);
    try {
      const answer = this.take(order.sorted, cost, together.length, giveUpMs);
      const taken = await inTime(giveUpMs, answer, () => tooLate(giveUpMs));
      const states = order.restore(taken.buckets);
      for (const [i, { resolve }] of together.entries()) resolve(hitsOf(states, taken.granted, cost, i));
      if (taken.granted < together.length) this.remember(buckets, cost, states, asked);
    } catch (error) {
      for (const { reject } of together) reject(error);
    }
  }

  /**
   * The database read its clock between `asked` and `answered`. The refusal expires relative to
   * `asked`:
   * if that is too early, the database is only asked again. The wait of the caller is relative to
   * `answered`, so that the caller never returns too early.
   */
  private remember(
    buckets: readonly Bucket[],
    cost: number,
    states: readonly BucketState[],
    asked: number,
  ): void {
    const answered = performance.now();
    for (const [at, { key, policy }] of buckets.entries()) {
      const { remaining, resetMs, retryAfterMs } = states[at] as BucketState;
      if (cost <= remaining) continue;
      this.refusals ??= new LRUCache({ max: MAX_REFUSALS });
      this.refusals.set(refusalKey(key, cost), {
        until: asked + Math.min(retryAfterMs, BELIEVE_MS),
        fitsAt: answered + retryAfterMs,
        resetAt: answered + resetMs,
        remaining,
        policy,
      });
    }
  }
}

/**
 * The results of the hit at index `i` of a statement. `states` are those after the last granted
 * hit, so the cost of later granted hits is added to what remained after this hit.
 */
function hitsOf(states: readonly BucketState[], granted: number, cost: number, i: number): readonly Hit[] {
  return states.map(({ remaining, resetMs, retryAfterMs }) =>
    i < granted
      ? { passed: true, remaining: remaining + (granted - 1 - i) * cost, resetMs, retryAfterMs: 0 }
      : { passed: cost <= remaining, remaining, resetMs, retryAfterMs },
  );
}

/**
 * Splits a queue: `together` is sent in one statement. These hits have the buckets and the cost of
 * the first hit.
 */
function split(line: readonly Waiting[]): { readonly together: Waiting[]; readonly rest: Waiting[] } {
  const first = line[0] as Waiting;
  const [together, rest]: [Waiting[], Waiting[]] = [[], []];
  for (const waiting of line)
    (waiting.cost === first.cost && areSame(waiting.buckets, first.buckets) ? together : rest).push(waiting);
  return { together, rest };
}

/** All instances lock buckets in the same order, so that no two statements deadlock. */
function sortedByKey(buckets: readonly Bucket[]) {
  if (buckets.length === 1) return { sorted: buckets, restore: <T>(items: readonly T[]) => items };
  const order = [...buckets.entries()].sort(([, a], [, b]) => (a.key < b.key ? -1 : 1));
  const restore = <T>(items: readonly T[]): T[] => {
    const restored: T[] = [];
    for (const [at, [from]] of order.entries()) restored[from] = items[at] as T;
    return restored;
  };
  return { sorted: order.map(([, bucket]) => bucket), restore };
}

function refusalKey(key: string, cost: number): string {
  return `${cost} ${key}`;
}

function areSame(a: readonly Bucket[], b: readonly Bucket[]): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every(({ key, policy }, at) => key === b[at]?.key && isSame(policy, (b[at] as Bucket).policy))
  );
}

function isSame(a: LimitPolicy, b: LimitPolicy): boolean {
  return a.limit === b.limit && a.windowMs === b.windowMs;
}

function tooLate(ms: number): Error {
  return new Error(`no answer within ${ms} ms`);
}
