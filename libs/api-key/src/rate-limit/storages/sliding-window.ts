import type { QuotaPeriod } from '../../model/limits';

/**
 * Up to so many hits of a window are logged each with its time; of a larger limit, neighbours share
 * one entry.
 */
const MAX_ENTRIES = 256;
/** So many entries a window may hold that its changes left behind. */
const MOST_ENTRIES = 2 * MAX_ENTRIES;
/** What is older than the window is logged in at most so many entries, and one. */
const TAIL_ENTRIES = 64;
/** How long use is logged at least, so that a longer window finds it: an hour, in milliseconds. */
export const KEEP_MS = 3_600_000;

/** How much is allowed in how long. */
export interface LimitPolicy {
  /** Cost that may be used within any window, 1 or more. */
  readonly limit: number;
  /** Length of the window in milliseconds. */
  readonly windowMs: number;
  /** Of a quota alone: it counts within this calendar period of UTC, which is `windowMs` long, and not within a sliding window. */
  readonly period?: QuotaPeriod;
}

/** What became of one hit. */
export interface Hit {
  /** Whether it fits in this limit. A hit on several limits is counted if it fits in each. */
  readonly passed: boolean;
  /** What is left of the limit. */
  readonly remaining: number;
  /** Milliseconds until something of the limit comes back; 0 if nothing of it is used. */
  readonly resetMs: number;
  /** Milliseconds until a refused hit of this cost would fit; 0 if it passed. */
  readonly retryAfterMs: number;
}

/** An entry of the log is two numbers in a row: when its last hit came, and what its hits cost together. */
const ENTRY = 2;
/** Entries that are over go together, so many at a time. */
const FORGOTTEN = 32;

/**
 * What one bucket has used within a sliding window, as a log. Never more than the limit passes in
 * any window, wherever it begins. Hits of a limit up to 256 are logged one by one, so that each
 * comes back exactly a window later; of a larger limit, those within a 256th of the window come
 * back together, with the last of them: late by less than 0.4 % of the window. Refused hits are not
 * counted.
 *
 * Limit and window may change from hit to hit. What is older than the window stays in a tail, so
 * that a longer window finds it: for as long as the longest window so far, an hour at least. Of the
 * tail, hits within a 64th of that time count until the last of them is over. `SCRIPT` of Redis and
 * the function of PostgreSQL follow the same rule.
 */
export class SlidingWindow {
  private readonly entries: number[] = [];
  private first = 0;
  private used = 0;
  private tail: number[] = [];

  /** @param keepMs how long use is logged at least */
  constructor(private keepMs: number = KEEP_MS) {}

  /** @param now milliseconds on a clock that never goes back */
  hit(now: number, cost: number, policy: LimitPolicy): Hit {
    return this.refusal(now, cost, policy) ?? this.take(now, cost, policy);
  }

  /** What `hit` would return if it does not fit, or null. Counts nothing. */
  refusal(now: number, cost: number, { limit, windowMs }: LimitPolicy): Hit | null {
    this.moveTo(now, windowMs);
    if (this.used + cost <= limit) return null;
    const remaining = Math.max(0, limit - this.used);
    const retryAfterMs = this.freeAfter(limit - cost, now, windowMs);
    return { passed: false, remaining, resetMs: this.resetMs(now, windowMs), retryAfterMs };
  }

  /** Counts a hit that `refusal` does not refuse at the same moment. */
  take(now: number, cost: number, policy: LimitPolicy): Hit {
    this.log(now, cost, policy);
    return this.state(now, policy);
  }

  /**
   * What is left, `passed` as of a hit that would fit. To be asked at the moment of `refusal` or
   * `take`.
   */
  state(now: number, { limit, windowMs }: LimitPolicy): Hit {
    return {
      passed: true,
      remaining: Math.max(0, limit - this.used),
      resetMs: this.resetMs(now, windowMs),
      retryAfterMs: 0,
    };
  }

  /** What was used within the window that ends now. */
  usedIn(now: number, windowMs: number): number {
    this.moveTo(now, windowMs);
    return this.used;
  }

  /**
   * Counts as much as is missing, so that at least so much was used within the window that ends
   * now.
   */
  atLeast(now: number, used: number, policy: LimitPolicy): void {
    const missing = used - this.usedIn(now, policy.windowMs);
    if (missing > 0) this.log(now, missing, policy);
  }

  /** Whether nothing that was used counts any more, in whichever window. */
  isOver(now: number): boolean {
    const { entries, tail } = this;
    const newest = this.first < entries.length ? entries.at(-ENTRY) : tail.at(-ENTRY);
    return newest === undefined || newest <= now - this.keepMs;
  }

  private resetMs(now: number, windowMs: number): number {
    return this.first < this.entries.length ? untilOver(this.at(this.first), now, windowMs) : 0;
  }

  /** Milliseconds until no more than `most` is used; a window if that never comes. */
  private freeAfter(most: number, now: number, windowMs: number): number {
    let used = this.used;
    for (let i = this.first; i < this.entries.length; i += ENTRY) {
      used -= this.at(i + 1);
      if (used <= most) return untilOver(this.at(i), now, windowMs);
    }
    return windowMs;
  }

  private log(now: number, cost: number, { limit, windowMs }: LimitPolicy): void {
    const { entries } = this;
    const together = windowMs / MAX_ENTRIES;
    this.used += cost;
    const isWithLast = this.first < entries.length && limit > MAX_ENTRIES;
    if (isWithLast && isSameCell(entries[entries.length - ENTRY] as number, now, together))
      mergeIntoLast(entries, now, cost);
    else entries.push(now, cost);
    if (entries.length - this.first > MOST_ENTRIES * ENTRY) this.foldEntries(together);
  }

  /**
   * Has the window end now: what is over goes to the tail, and what a longer window finds there
   * comes back.
   */
  private moveTo(now: number, windowMs: number): void {
    const begin = now - windowMs;
    if (this.tail.length > 0 && (this.tail[this.tail.length - ENTRY] as number) > begin) this.recall(begin);
    if (windowMs > this.keepMs) this.keepMs = windowMs;
    while (this.first < this.entries.length && this.at(this.first) <= begin) {
      const [until, cost] = [this.at(this.first), this.at(this.first + 1)];
      this.used -= cost;
      this.first += ENTRY;
      if (until > now - this.keepMs) this.addToTail(until, cost, now);
    }
    if (this.first >= FORGOTTEN * ENTRY || this.first === this.entries.length) this.compact();
  }

  private recall(begin: number): void {
    const { tail } = this;
    let from = tail.length;
    while (from > 0 && (tail[from - ENTRY] as number) > begin) from -= ENTRY;
    const recalled = tail.splice(from);
    for (let i = 0; i < recalled.length; i += ENTRY) this.used += recalled[i + 1] as number;
    this.compact();
    this.entries.unshift(...recalled);
  }

  private addToTail(until: number, cost: number, now: number): void {
    const { tail, keepMs } = this;
    const last = tail[tail.length - ENTRY];
    if (last !== undefined && isSameCell(last, until, keepMs / TAIL_ENTRIES)) {
      mergeIntoLast(tail, until, cost);
      return;
    }
    let over = 0;
    while (over < tail.length && (tail[over] as number) <= now - keepMs) over += ENTRY;
    if (over > 0) tail.splice(0, over);
    tail.push(until, cost);
  }

  private foldEntries(together: number): void {
    const before = this.entries.splice(0).slice(this.first);
    this.first = 0;
    this.used = 0;
    for (let i = 0; i < before.length; i += ENTRY) {
      const [until, cost] = [before[i] as number, before[i + 1] as number];
      const last = this.entries[this.entries.length - ENTRY];
      if (last !== undefined && isSameCell(last, until, together)) mergeIntoLast(this.entries, until, cost);
      else this.entries.push(until, cost);
    }
    for (let i = 1; i < this.entries.length; i += ENTRY) this.used += this.at(i);
  }

  private compact(): void {
    if (this.first > 0) this.entries.splice(0, this.first);
    this.first = 0;
  }

  private at(index: number): number {
    return this.entries[index] as number;
  }
}

/** Time is cut in cells that begin at 0: two entries of one cell may become one. */
function isSameCell(a: number, b: number, cellMs: number): boolean {
  return Math.floor(a / cellMs) === Math.floor(b / cellMs);
}

function mergeIntoLast(entries: number[], until: number, cost: number): void {
  const at = entries.length - ENTRY;
  entries[at] = until;
  entries[at + 1] = (entries[at + 1] as number) + cost;
}

/** Subtracts first: of the sum of a large and a small number, a fraction can be rounded to beyond the window. */
function untilOver(until: number, now: number, windowMs: number): number {
  return windowMs - (now - until);
}
