import { LRUCache } from 'lru-cache';
import { type Eventually, inTime } from '../eventually';
import type { Hit, LimitPolicy } from './sliding-window';
import { ApiKeyThrottlerStorage } from './storage';

/** How long a database may take before what it was asked is given up, unless somebody waits longer. */
const GIVE_UP_MS = 500;
const MAX_REFUSALS = 100_000;
/** How long a refusal is believed: then it is asked again, for someone may have given the key its limit back by hand. */
const BELIEVE_MS = 10_000;
/** How many hits of a key may wait, and how many costs one question may name. */
const MAX_WAITING = 10_000;
const MAX_LOTS = 32;

/** Hits of the same cost. */
export interface Lot {
  readonly cost: number;
  readonly count: number;
}

/** What a database granted of several lots. */
export interface Taken {
  /** How many hits of each lot fit. */
  readonly granted: readonly number[];
  /** What is left after all of them. */
  readonly remaining: number;
  /** As of `Hit`, in milliseconds. */
  readonly resetMs: number;
  /** As of `Hit`, in milliseconds, for the first hit of each lot that did not fit; 0 where all of it did. */
  readonly retryAfterMs: readonly number[];
}

/** So many hits of one key wait already that no more can be taken: the fault of no database. */
export class TooManyWaiting extends Error {
  constructor() {
    super(`${MAX_WAITING} hits of one key wait to be counted`);
  }
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
}

/**
 * Counts in a database that several instances share. Of one key, one question is under way at a time; hits that come meanwhile
 * are asked for together in the next one, whatever they cost. A refusal is remembered until the database said that a hit would fit,
 * 10 s at most, so that a caller who goes on costs next to nothing.
 */
export abstract class SharedThrottlerStorage extends ApiKeyThrottlerStorage {
  /** A key that is nobody's, for `prepare`. */
  protected readonly nobody: string = '';
  private readonly lines = new Map<string, Waiting[]>();
  private readonly refusals = new LRUCache<string, Refusal>({ max: MAX_REFUSALS });
  private giveUpMs = GIVE_UP_MS;

  /**
   * Counts hits, lot by lot as many as fit, in one atomic statement.
   * @param timeoutMs milliseconds after which nobody waits for the answer any more
   */
  protected abstract take(
    key: string,
    policy: LimitPolicy,
    lots: readonly Lot[],
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
    const taken = this.take(this.nobody, { limit: 1, windowMs: 1 }, [], GIVE_UP_MS);
    await inTime(GIVE_UP_MS, taken, () => tooLate(GIVE_UP_MS));
  }

  /** @throws TooManyWaiting */
  override hit(key: string, policy: LimitPolicy, cost: number): Eventually<Hit> {
    return this.refusalOf(key, policy, cost) ?? this.ask(key, policy, cost);
  }

  /** The refusal of a hit that the database has said would not fit yet. */
  override refusalOf(key: string, policy: LimitPolicy, cost: number): Hit | null {
    const known = this.refusals.get(refusalKey(key, cost));
    if (known === undefined) return null;
    const now = performance.now();
    if (now >= known.until || !isSame(policy, known.policy)) return null;
    const { fitsAt, resetAt, remaining } = known;
    return { passed: false, remaining, resetMs: Math.max(0, resetAt - now), retryAfterMs: fitsAt - now };
  }

  private ask(key: string, policy: LimitPolicy, cost: number): Promise<Hit> {
    return new Promise((resolve, reject) => {
      const waiting = { policy, cost, resolve, reject };
      const line = this.lines.get(key);
      if (line && line.length >= MAX_WAITING) throw new TooManyWaiting();
      if (line) return void line.push(waiting);
      this.lines.set(key, [waiting]);
      void this.serve(key);
    });
  }

  /** Asks for all that wait, as long as any does. */
  private async serve(key: string): Promise<void> {
    for (let line = this.lines.get(key); line && line.length > 0; line = this.lines.get(key)) {
      const { lots, rest } = together(line);
      this.lines.set(key, rest);
      await this.serveTogether(key, lots);
    }
    this.lines.delete(key);
  }

  private async serveTogether(key: string, lots: readonly (readonly Waiting[])[]): Promise<void> {
    const asked = performance.now();
    const { giveUpMs } = this;
    const { policy } = firstOf(lots[0]);
    const counts = lots.map((lot) => ({ cost: firstOf(lot).cost, count: lot.length }));
    try {
      const answer = this.take(key, policy, counts, giveUpMs);
      const taken = await inTime(giveUpMs, answer, () => tooLate(giveUpMs));
      for (const [at, lot] of lots.entries()) {
        const hits = hitsOf(taken, counts, at);
        for (const [i, { resolve }] of lot.entries()) resolve(hits(i));
      }
      for (const [at, { cost }] of counts.entries())
        if ((taken.retryAfterMs[at] ?? 0) > 0) this.remember(refusalKey(key, cost), policy, asked, taken, at);
    } catch (error) {
      for (const { reject } of lots.flat()) reject(error);
    }
  }

  /**
   * The database read its clock somewhere between question and answer. A refusal is believed from the question on: too early, it
   * only asks again. A caller is told to wait from the answer on, and so never comes back too early.
   */
  private remember(key: string, policy: LimitPolicy, asked: number, taken: Taken, at: number): void {
    const { remaining, resetMs, retryAfterMs } = taken;
    const fitsMs = retryAfterMs[at] ?? 0;
    const answered = performance.now();
    const until = asked + Math.min(fitsMs, BELIEVE_MS);
    this.refusals.set(key, {
      until,
      fitsAt: answered + fitsMs,
      resetAt: answered + resetMs,
      remaining,
      policy,
    });
  }
}

/** The hits of one lot, by their place in it; what is left for those that passed counts back from the end of all lots. */
function hitsOf(taken: Taken, lots: readonly Lot[], at: number): (i: number) => Hit {
  const { granted, remaining, resetMs } = taken;
  const later = lots.slice(at + 1).reduce((sum, { cost }, i) => sum + cost * (granted[at + 1 + i] ?? 0), 0);
  const { cost = 0 } = lots[at] ?? {};
  const [fit = 0, retryAfterMs = 0] = [granted[at], taken.retryAfterMs[at]];
  return (i) =>
    i < fit
      ? { passed: true, remaining: remaining + later + (fit - 1 - i) * cost, resetMs, retryAfterMs: 0 }
      : { passed: false, remaining, resetMs, retryAfterMs };
}

/** Those of a line that go in one question: they are under the policy of the first, in lots of one cost. */
function together(line: readonly Waiting[]): { readonly lots: Waiting[][]; readonly rest: Waiting[] } {
  const { policy } = firstOf(line);
  const lots = new Map<number, Waiting[]>();
  const rest: Waiting[] = [];
  for (const waiting of line) {
    const lot = lots.get(waiting.cost);
    if (!isSame(waiting.policy, policy) || (!lot && lots.size === MAX_LOTS)) rest.push(waiting);
    else if (lot) lot.push(waiting);
    else lots.set(waiting.cost, [waiting]);
  }
  return { lots: [...lots.values()], rest };
}

function firstOf(lot: readonly Waiting[] | undefined): Waiting {
  return lot?.[0] as Waiting;
}

function refusalKey(key: string, cost: number): string {
  return `${cost} ${key}`;
}

function isSame(a: LimitPolicy, b: LimitPolicy): boolean {
  return a.limit === b.limit && a.windowMs === b.windowMs;
}

function tooLate(ms: number): Error {
  return new Error(`no answer within ${ms} ms`);
}
