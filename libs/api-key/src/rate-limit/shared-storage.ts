import { LRUCache } from 'lru-cache';
import { type Eventually, inTime } from '../eventually';
import type { Hit, LimitPolicy } from './sliding-window';
import { ApiKeyThrottlerStorage } from './storage';

/** How long a database may take before what it was asked is given up; a guard of ours waits less. */
const GIVE_UP_MS = 500;
const MAX_REFUSALS = 100_000;
/** How long a refusal is believed: then it is asked again, for someone may have given the key its limit back by hand. */
const BELIEVE_MS = 10_000;

/** What a database granted of several hits of the same cost. */
export interface Taken {
  /** How many of them fit. */
  readonly granted: number;
  readonly remaining: number;
  /** As of `Hit`, both in milliseconds; `retryAfterMs` of the first that did not fit, 0 where all did. */
  readonly resetMs: number;
  readonly retryAfterMs: number;
}

interface Waiting {
  readonly policy: LimitPolicy;
  readonly cost: number;
  readonly resolve: (hit: Hit) => void;
  readonly reject: (error: unknown) => void;
}

interface Refusal {
  readonly until: number;
  readonly fitsAt: number;
  readonly resetAt: number;
  readonly remaining: number;
  readonly policy: LimitPolicy;
  readonly cost: number;
}

/**
 * Counts in a database that several instances share. Of one key, one question is under way at a time; hits that come meanwhile
 * are asked for together in the next one. A refusal is remembered until the database said that a hit would fit, 10 s at most, so
 * that a caller who goes on costs next to nothing.
 */
export abstract class SharedThrottlerStorage extends ApiKeyThrottlerStorage {
  /** A key that is nobody's, for `prepare`. */
  protected readonly nobody: string = '';
  private readonly lines = new Map<string, Waiting[]>();
  private readonly refusals = new LRUCache<string, Refusal>({ max: MAX_REFUSALS });

  /** Counts so many hits of the same cost, as many as fit, in one atomic statement. */
  protected abstract take(key: string, policy: LimitPolicy, cost: number, count: number): Promise<Taken>;

  /** Has the database prepare what it takes, so that the first hit does not wait for that. Counts nothing. */
  async prepare(): Promise<void> {
    await inTime(GIVE_UP_MS, this.take(this.nobody, { limit: 1, windowMs: 1 }, 1, 0), tooLate);
  }

  override hit(key: string, policy: LimitPolicy, cost: number): Eventually<Hit> {
    return this.refusalOf(key, policy, cost) ?? this.ask(key, policy, cost);
  }

  /** The refusal of a hit that the database has said would not fit yet, or null. No I/O. */
  refusalOf(key: string, policy: LimitPolicy, cost: number): Hit | null {
    const known = this.refusals.get(key);
    if (known === undefined) return null;
    const now = performance.now();
    if (now >= known.until || cost < known.cost || !isSame(policy, known.policy)) return null;
    const { fitsAt, resetAt, remaining } = known;
    return { passed: false, remaining, resetMs: Math.max(0, resetAt - now), retryAfterMs: fitsAt - now };
  }

  private ask(key: string, policy: LimitPolicy, cost: number): Promise<Hit> {
    return new Promise((resolve, reject) => {
      const waiting = { policy, cost, resolve, reject };
      const line = this.lines.get(key);
      if (line) return void line.push(waiting);
      this.lines.set(key, [waiting]);
      void this.serve(key);
    });
  }

  /** Asks for all that wait, as long as any does. */
  private async serve(key: string): Promise<void> {
    for (let line = this.lines.get(key); line && line.length > 0; line = this.lines.get(key)) {
      const together = alike(line);
      this.lines.set(key, line.slice(together.length));
      await this.serveTogether(key, together);
    }
    this.lines.delete(key);
  }

  private async serveTogether(key: string, together: readonly Waiting[]): Promise<void> {
    const { policy, cost } = together[0] as Waiting;
    const asked = performance.now();
    try {
      const taken = await inTime(GIVE_UP_MS, this.take(key, policy, cost, together.length), tooLate);
      for (const [i, { resolve }] of together.entries()) resolve(hitOf(taken, i, cost));
      if (taken.granted < together.length) this.remember(key, policy, cost, asked, taken);
    } catch (error) {
      for (const { reject } of together) reject(error);
    }
  }

  /** From when it was asked: on the early side, for then it only asks again. */
  private remember(key: string, policy: LimitPolicy, cost: number, asked: number, taken: Taken): void {
    const { remaining, resetMs, retryAfterMs } = taken;
    const [until, fitsAt] = [asked + Math.min(retryAfterMs, BELIEVE_MS), asked + retryAfterMs];
    this.refusals.set(key, { until, fitsAt, resetAt: asked + resetMs, remaining, policy, cost });
  }
}

function hitOf({ granted, remaining, resetMs, retryAfterMs }: Taken, i: number, cost: number): Hit {
  const passed = i < granted;
  return {
    passed,
    remaining: passed ? remaining + (granted - 1 - i) * cost : remaining,
    resetMs,
    retryAfterMs: passed ? 0 : retryAfterMs,
  };
}

/** Those at the head of a line that ask for the same. */
function alike(line: readonly Waiting[]): readonly Waiting[] {
  const [first] = line;
  const other = line.findIndex(
    ({ policy, cost }) => first && (cost !== first.cost || !isSame(policy, first.policy)),
  );
  return other < 0 ? line : line.slice(0, other);
}

function isSame(a: LimitPolicy, b: LimitPolicy): boolean {
  return a.limit === b.limit && a.windowMs === b.windowMs;
}

function tooLate(): Error {
  return new Error(`no answer within ${GIVE_UP_MS} ms`);
}
