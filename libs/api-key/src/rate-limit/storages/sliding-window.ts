import type { QuotaPeriod } from '../../model/limits';

/**
 * If a limit is at most this number, each hit has its own entry. If a limit is larger, hits that
 * are close in time share an entry.
 */
const MAX_ENTRIES = 256;
/** The maximum number of entries of a window. It is reached only after limit or window changed. */
const MOST_ENTRIES = 2 * MAX_ENTRIES;
/** The tail contains at most this number of entries, plus one. */
const TAIL_ENTRIES = 64;
/** How long use is kept at least, for windows that become longer: an hour, in milliseconds. */
export const KEEP_MS = 3_600_000;

/** How much may be used in how much time. */
export interface LimitPolicy {
  /** The sum of costs that may be used within any window, 1 or more. */
  readonly limit: number;
  /** Length of the window in milliseconds. */
  readonly windowMs: number;
  /**
   * Only for a quota: the quota counts in this calendar period of UTC, not in a sliding window.
   * `windowMs` is the length of the period.
   */
  readonly period?: QuotaPeriod;
}

/** The period of a quota. A policy that names no period counts by the day. */
export function periodOf({ period = 'day' }: LimitPolicy): QuotaPeriod {
  return period;
}

/** The result of one hit. */
export interface Hit {
  /**
   * Whether the hit fits in this limit. A hit on several limits is counted if it fits in each of
   * them.
   */
  readonly passed: boolean;
  /** What is left of the limit. */
  readonly remaining: number;
  /** Milliseconds until part of the limit is available again; 0 if the limit is unused. */
  readonly resetMs: number;
  /** Milliseconds until a refused hit of this cost would fit; 0 if the hit passed. */
  readonly retryAfterMs: number;
}

/**
 * An entry is two consecutive numbers: the time of its last hit, and the sum of costs of its hits.
 */
const ENTRY = 2;
/** Expired entries are removed in batches of this size. */
const FORGOTTEN = 32;

/**
 * The log of what one bucket has used within a sliding window. No window ever contains more use
 * than the limit allows. If a limit is at most 256, each hit expires exactly one window later. If a
 * limit is larger, hits within a 256th of the window expire together with the last of them. The
 * delay is less than 0.4 % of the window. Refused hits are not counted.
 *
 * Limit and window may change from hit to hit. Entries older than the window move to a tail, so
 * that a longer window finds them. The tail is kept for the longest window so far, at least for an
 * hour. In the tail, hits within a 64th of that time expire together with the last of them.
 * `SCRIPT` of Redis and the SQL function of PostgreSQL follow the same rule.
 */
export class SlidingWindow {
  private readonly entries: number[] = [];
  private first = 0;
  private used = 0;
  private tail: number[] = [];

  /** @param keepMs how long use is kept at least, in milliseconds */
  constructor(private keepMs: number = KEEP_MS) {}

  /** @param now milliseconds on a clock that never goes back */
  hit(now: number, cost: number, policy: LimitPolicy): Hit {
    return this.refusal(now, cost, policy) ?? this.take(now, cost, policy);
  }

  /** Returns the refusal of a hit that does not fit, or null if the hit fits. Counts nothing. */
  refusal(now: number, cost: number, { limit, windowMs }: LimitPolicy): Hit | null {
    this.moveTo(now, windowMs);
    if (this.used + cost <= limit) return null;
    const remaining = Math.max(0, limit - this.used);
    const retryAfterMs = this.freeAfter(limit - cost, now, windowMs);
    return { passed: false, remaining, resetMs: this.resetMs(now, windowMs), retryAfterMs };
  }

  /** Counts a hit. Call `refusal` with the same `now` first. */
  take(now: number, cost: number, policy: LimitPolicy): Hit {
    this.log(now, cost, policy);
    return this.state(now, policy);
  }

  /**
   * The state of the limit, with `passed: true`. Call `refusal` or `take` with the same `now`
   * first.
   */
  state(now: number, { limit, windowMs }: LimitPolicy): Hit {
    return {
      passed: true,
      remaining: Math.max(0, limit - this.used),
      resetMs: this.resetMs(now, windowMs),
      retryAfterMs: 0,
    };
  }

  /** The use within the window that ends now. */
  usedIn(now: number, windowMs: number): number {
    this.moveTo(now, windowMs);
    return this.used;
  }

  /** Raises the use within the window that ends now to at least `used`. */
  atLeast(now: number, used: number, policy: LimitPolicy): void {
    const missing = used - this.usedIn(now, policy.windowMs);
    if (missing > 0) this.log(now, missing, policy);
  }

  /** Whether all entries are expired, for every window. */
  isOver(now: number): boolean {
    const { entries, tail } = this;
    const newest = this.first < entries.length ? entries.at(-ENTRY) : tail.at(-ENTRY);
    return newest === undefined || newest <= now - this.keepMs;
  }

  private resetMs(now: number, windowMs: number): number {
    return this.first < this.entries.length ? untilOver(this.at(this.first), now, windowMs) : 0;
  }

  /** Milliseconds until at most `most` is used, or `windowMs` if no entry frees enough. */
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
   * Moves the end of the window to `now`. Expired entries move to the tail. If the window is longer
   * than before, entries of the tail move back.
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

/** Time is divided into cells that begin at 0. Two entries of the same cell may be merged. */
function isSameCell(a: number, b: number, cellMs: number): boolean {
  return Math.floor(a / cellMs) === Math.floor(b / cellMs);
}

function mergeIntoLast(entries: number[], until: number, cost: number): void {
  const at = entries.length - ENTRY;
  entries[at] = until;
  entries[at + 1] = (entries[at + 1] as number) + cost;
}

/**
 * Subtracts `until` from `now` first. Rounding the sum of a large and a small number could give a
 * result larger than the window.
 */
function untilOver(until: number, now: number, windowMs: number): number {
  return windowMs - (now - until);
}
