import type { QuotaPeriod } from '../authority';

/** Up to so many hits of a window are remembered each with its time; of a larger limit, neighbours share one. */
const MAX_ENTRIES = 256;

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
  readonly passed: boolean;
  /** What is left of the limit. */
  readonly remaining: number;
  /** Milliseconds until something of the limit comes back; 0 where nothing of it is used. */
  readonly resetMs: number;
  /** Milliseconds until a refused hit of this cost would fit; 0 where it passed. */
  readonly retryAfterMs: number;
}

/** An entry of the log is two numbers in a row: when its last hit came, and what its hits cost together. */
const ENTRY = 2;
/** Entries that are over go together, so many at a time. */
const FORGOTTEN = 32;

/**
 * What one key has used within a sliding window, as a log. Never more than the limit passes in any window, wherever it begins.
 * Hits of a limit up to 256 are logged one by one, so that each comes back exactly a window later; of a larger limit, those
 * within a 256th of the window come back together, with the last of them: late by less than 0.4 % of the window.
 * Refused hits are not counted.
 */
export class SlidingWindow {
  private readonly entries: number[] = [];
  private first = 0;
  private used = 0;
  private lastSince = 0;

  /** @param now milliseconds on a clock that never goes back */
  hit(now: number, cost: number, { limit, windowMs }: LimitPolicy): Hit {
    const refusal = this.refusal(now, cost, { limit, windowMs });
    if (refusal) return refusal;
    this.log(now, cost, limit > MAX_ENTRIES ? windowMs / MAX_ENTRIES : 0);
    return {
      passed: true,
      remaining: limit - this.used,
      resetMs: this.resetMs(now, windowMs),
      retryAfterMs: 0,
    };
  }

  /** What `hit` would answer where it does not fit, or null. Counts nothing. */
  refusal(now: number, cost: number, { limit, windowMs }: LimitPolicy): Hit | null {
    this.forget(now - windowMs);
    if (this.used + cost <= limit) return null;
    const remaining = Math.max(0, limit - this.used);
    const retryAfterMs = this.freeAfter(limit - cost, now, windowMs);
    return { passed: false, remaining, resetMs: this.resetMs(now, windowMs), retryAfterMs };
  }

  /** What was used within the window that ends now. */
  usedIn(now: number, windowMs: number): number {
    this.forget(now - windowMs);
    return this.used;
  }

  /** Whether nothing that was used counts any more. */
  isOver(now: number, windowMs: number): boolean {
    const { length } = this.entries;
    return length === 0 || this.at(length - ENTRY) <= now - windowMs;
  }

  private resetMs(now: number, windowMs: number): number {
    return this.first < this.entries.length ? untilOver(this.at(this.first), now, windowMs) : 0;
  }

  /** Milliseconds until no more than `most` is used; a window where that never comes. */
  private freeAfter(most: number, now: number, windowMs: number): number {
    let used = this.used;
    for (let i = this.first; i < this.entries.length; i += ENTRY) {
      used -= this.at(i + 1);
      if (used <= most) return untilOver(this.at(i), now, windowMs);
    }
    return windowMs;
  }

  private log(now: number, cost: number, togetherMs: number): void {
    const { entries } = this;
    this.used += cost;
    if (this.first < entries.length && now - this.lastSince <= togetherMs) {
      entries[entries.length - 2] = now;
      entries[entries.length - 1] = this.at(entries.length - 1) + cost;
    } else {
      this.lastSince = now;
      entries.push(now, cost);
    }
  }

  private forget(before: number): void {
    while (this.first < this.entries.length && this.at(this.first) <= before) {
      this.used -= this.at(this.first + 1);
      this.first += ENTRY;
    }
    if (this.first >= FORGOTTEN * ENTRY || this.first === this.entries.length) this.compact();
  }

  private compact(): void {
    if (this.first > 0) this.entries.splice(0, this.first);
    this.first = 0;
  }

  private at(index: number): number {
    return this.entries[index] as number;
  }
}

/** Subtracts first: of the sum of a large and a small number, a fraction can be rounded to beyond the window. */
function untilOver(until: number, now: number, windowMs: number): number {
  return windowMs - (now - until);
}
