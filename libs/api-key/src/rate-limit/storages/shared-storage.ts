import { LRUCache } from 'lru-cache';
import { inTime } from '../../database/deadline';
import type { Hit, LimitPolicy } from './sliding-window';
import { ApiKeyThrottlerStorage, type Bucket, type Hits } from './storage';

/** How long a database may take before what it was asked is given up, unless somebody waits longer. */
const GIVE_UP_MS = 500;
const MAX_REFUSALS = 100_000;
/** How long a refusal is believed: then it is asked again, for someone may have given the key its limit back by hand. */
const BELIEVE_MS = 10_000;
/** How many hits may wait in one line. */
const MAX_WAITING = 10_000;

/** What a database says of one bucket, after the hits that it granted. */
export interface BucketState {
  readonly remaining: number;
  /** As of `Hit`, in milliseconds. */
  readonly resetMs: number;
  /**
   * As of `Hit`, in milliseconds, for the first hit that was not granted; 0 if all were, or if it
   * fits in this bucket.
   */
  readonly retryAfterMs: number;
}

/** What a database granted of several hits of one cost on several buckets. */
export interface Taken {
  /** How many of the hits fit in every bucket. */
  readonly granted: number;
  /** In the order of the buckets. */
  readonly buckets: readonly BucketState[];
}

/** So many hits of one key wait already that no more can be taken: the fault of no database. */
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
 * Counts in a database that several instances share. Hits stand in line at their last bucket, which
 * keys of one lineage share: one question of a line is under way at a time. Hits on the same
 * buckets that come meanwhile, and cost the same, are asked for together in a later one. A refusal
 * is remembered until the database said that a hit would fit, 10 s at most, so that a caller who
 * goes on costs next to nothing.
 */
export abstract class SharedThrottlerStorage extends ApiKeyThrottlerStorage {
  private readonly lines = new Map<string, Waiting[]>();
  /** Made for the first one: it reserves its memory at once. */
  private refusals: LRUCache<string, Refusal> | undefined;
  private giveUpMs = GIVE_UP_MS;

  /**
   * Counts hits of one cost, as many as fit in every bucket, in one atomic statement.
   * @param buckets of different keys, sorted by key; none: nothing is counted
   * @param timeoutMs milliseconds after which nobody waits for the answer any more
   */
  protected abstract take(
    buckets: readonly Bucket[],
    cost: number,
    count: number,
    timeoutMs: number,
  ): Promise<Taken>;

  /**
   * Has the database as long to answer as somebody waits for it, where that is more than half a second.
   * @param ms milliseconds
   */
  waitAtLeast(ms: number): void {
    this.giveUpMs = Math.max(this.giveUpMs, ms);
  }

  /** Has the database prepare what it takes, so that the first hit does not wait for that. Counts nothing. */
  async prepare(): Promise<void> {
    await inTime(GIVE_UP_MS, this.take([], 1, 0, GIVE_UP_MS), () => tooLate(GIVE_UP_MS));
  }

  /** @throws TooManyWaiting */
  override async hitAll(buckets: readonly Bucket[], cost: number): Promise<Hits> {
    if (buckets.length === 0) return [];
    return this.refusalOf(buckets, cost) ?? this.ask(buckets, cost);
  }

  /** The refusal of a hit that the database has said would not fit yet. */
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
   * Asks for all that wait, as long as any does. One that waited too long is not asked for: nobody
   * waits for its answer.
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
   * The database read its clock somewhere between question and answer. A refusal is believed from the question on: too early, it
   * only asks again. A caller is told to wait from the answer on, and so never comes back too early.
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
 * The hits of the i-th of those who asked together: what was left for one that passed counts back
 * from the end.
 */
function hitsOf(states: readonly BucketState[], granted: number, cost: number, i: number): readonly Hit[] {
  return states.map(({ remaining, resetMs, retryAfterMs }) =>
    i < granted
      ? { passed: true, remaining: remaining + (granted - 1 - i) * cost, resetMs, retryAfterMs: 0 }
      : { passed: cost <= remaining, remaining, resetMs, retryAfterMs },
  );
}

/**
 * Those of a line that go in one question: they are on the buckets of the first, and cost the same.
 */
function split(line: readonly Waiting[]): { readonly together: Waiting[]; readonly rest: Waiting[] } {
  const first = line[0] as Waiting;
  const [together, rest]: [Waiting[], Waiting[]] = [[], []];
  for (const waiting of line)
    (waiting.cost === first.cost && areSame(waiting.buckets, first.buckets) ? together : rest).push(waiting);
  return { together, rest };
}

/** All instances lock buckets in one order, so that no two questions wait for each other. */
function sortedByKey(buckets: readonly Bucket[]) {
  if (buckets.length === 1) return { sorted: buckets, restore: <T>(items: readonly T[]) => items };
  const order = buckets.map((_, at) => at).sort((a, b) => compare(buckets[a], buckets[b]));
  const restore = <T>(items: readonly T[]): T[] => {
    const restored: T[] = [];
    for (const [at, from] of order.entries()) restored[from] = items[at] as T;
    return restored;
  };
  return { sorted: order.map((at) => buckets[at] as Bucket), restore };
}

function compare(a: Bucket | undefined, b: Bucket | undefined): number {
  return (a?.key ?? '') < (b?.key ?? '') ? -1 : 1;
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
