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
   * Requests in a window, for a key without a limit of its own, 1 to 1,000,000,000. null: no limit.
   * Default null.
   */
  limit?: number | null;
  /** Length of the window in seconds, 1 to 31,622,400 (366 days). Default 60. */
  windowSeconds?: number;
  /**
   * Where requests are counted. `memory`: in the memory of this instance. `postgres`: in the
   * database of the keys. Or a `ThrottlerStorage`, such as `new RedisThrottlerStorage(client)`.
   * Default: the storage of `ThrottlerModule` if it has one, else `memory`.
   */
  storage?: 'memory' | 'postgres' | ThrottlerStorage | null;
  /**
   * What happens while the storage fails. `local`: requests are counted in the memory of this
   * instance. `open`: requests are not limited. `refuse`: the answer is 503. Default `local`.
   */
  onStorageFailure?: StorageFailurePolicy;
  /**
   * What happens to keys with a quota while PostgreSQL cannot count it. `refuse`: the answer is
   * 503. `local`: requests are counted in the memory of this instance. `open`: requests are not
   * limited. Default `refuse`.
   */
  onQuotaFailure?: StorageFailurePolicy;
  /** Milliseconds to wait for the storage before it counts as failed, 10 to 60,000. Default 100. */
  storageTimeoutMs?: number;
  /**
   * How many keys are counted in memory, 1 to 10,000,000. If there are more, the key with the
   * oldest last request is dropped and its count restarts at 0. A key takes about 0.5 KB, or 2 KB
   * if it is used during the whole hour, or 7 KB with 256 requests or more in its window. Default
   * 100,000.
   */
  maxKeys?: number;
  /**
   * Whether `X-RateLimit-Limit`, `-Remaining` and `-Reset` are sent in addition to `RateLimit` and
   * `RateLimit-Policy`. Default false.
   */
  legacyHeaders?: boolean;
}

/** What happens to requests if the storage of limits does not count them in time. */
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
