import type { ThrottlerStorage } from '@nestjs/throttler';
import { MAX_LIMIT, MAX_WINDOW_SECONDS } from '../model/limits';
import {
  milliseconds,
  oneOf,
  rule,
  section,
  trueOrFalse,
  wholeNumber,
  wholeNumberOrNull,
  withDefaults,
} from './checks';

/** How the limits of keys are counted. Each field that is omitted keeps its default. */
export interface RateLimitOptions {
  /**
   * Requests in a window of a key without a limit of its own, 1 to 1,000,000,000. null: no limit.
   * Default null.
   */
  limit?: number | null;
  /** Seconds of that window, 1 to 31,622,400 (366 days). Default 60. */
  windowSeconds?: number;
  /**
   * Where hits are counted: `memory` of this instance, `postgres` beside the keys, or a
   * `ThrottlerStorage`, such as `new RedisThrottlerStorage(client)`. Default: the storage that
   * `ThrottlerModule` was given, else `memory`.
   */
  storage?: 'memory' | 'postgres' | ThrottlerStorage | null;
  /**
   * What happens while the storage fails: `local` counts in memory of this instance, `open` limits
   * nothing, `refuse` answers 503. Default `local`.
   */
  onStorageFailure?: StorageFailurePolicy;
  /**
   * What happens to keys with a quota while PostgreSQL does not count it: `refuse` answers 503,
   * `local` counts in memory of this instance, `open` limits nothing. Default `refuse`.
   */
  onQuotaFailure?: StorageFailurePolicy;
  /** Milliseconds after which the storage has failed, 10 to 60,000. Default 100. */
  storageTimeoutMs?: number;
  /**
   * Keys that are counted in memory, 1 to 10,000,000. Beyond that, the count of the key whose last
   * request is longest ago starts anew. A key takes about half a kilobyte, 2 if it is used all hour,
   * 7 if 256 times or more within its window. Default 100,000.
   */
  maxKeys?: number;
  /**
   * Whether `X-RateLimit-Limit`, `-Remaining` and `-Reset` are sent beside `RateLimit` and
   * `RateLimit-Policy`. Default false.
   */
  legacyHeaders?: boolean;
}

/** What happens to requests that the storage of limits does not count in time. */
export type StorageFailurePolicy = 'local' | 'open' | 'refuse';

/** The section after defaults and checks, frozen. */
export type ResolvedRateLimitOptions = Readonly<Required<RateLimitOptions>>;

const DEFAULTS: ResolvedRateLimitOptions = {
  limit: null,
  windowSeconds: 60,
  storage: null,
  onStorageFailure: 'local',
  onQuotaFailure: 'refuse',
  storageTimeoutMs: 100,
  maxKeys: 100_000,
  legacyHeaders: false,
};

const failurePolicy = oneOf('local', 'open', 'refuse');

export const checkRateLimit = section<RateLimitOptions>({
  limit: wholeNumberOrNull(1, MAX_LIMIT),
  windowSeconds: wholeNumber(1, MAX_WINDOW_SECONDS),
  storage: rule(isStorage, '"memory", "postgres" or a ThrottlerStorage'),
  onStorageFailure: failurePolicy,
  onQuotaFailure: failurePolicy,
  storageTimeoutMs: milliseconds(10, 60_000),
  maxKeys: wholeNumber(1, 10_000_000),
  legacyHeaders: trueOrFalse,
});

export function resolveRateLimit(given?: RateLimitOptions): ResolvedRateLimitOptions {
  return withDefaults(DEFAULTS, given);
}

function isStorage(value: unknown): boolean {
  if (value === null || value === 'memory' || value === 'postgres') return true;
  return typeof (value as ThrottlerStorage).increment === 'function';
}
