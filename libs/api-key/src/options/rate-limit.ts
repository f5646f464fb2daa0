import type { ThrottlerStorage } from '@nestjs/throttler';
import { MAX_LIMIT, MAX_WINDOW_SECONDS } from '../model/limits';
import { type FieldChecks, fieldsFit, isWhole, must } from './checks';

/** How the limits of keys are counted. Each field that is left out keeps its default. */
export interface RateLimitOptions {
  /** Requests that a key without a limit of its own may make in a window, 1 to 1,000,000,000; null: as many as it likes. Default null. */
  limit?: number | null;
  /** Seconds of that window, 1 to 31,622,400 (366 days). Default 60. */
  windowSeconds?: number;
  /**
   * Where hits are counted: `memory` of this instance, `postgres` beside the keys, or a `ThrottlerStorage`, such as
   * `new RedisThrottlerStorage(client)`. Default: that of `ThrottlerModule`, where it was given one, else `memory`.
   */
  storage?: 'memory' | 'postgres' | ThrottlerStorage | null;
  /** What happens while the storage fails: `local` counts in memory of this instance, `open` limits nothing, `refuse` answers 503. Default `local`. */
  onStorageFailure?: StorageFailurePolicy;
  /**
   * What happens to keys with a quota while PostgreSQL does not count it: `refuse` answers 503,
   * `local` counts in memory of this instance, `open` bounds nothing. Default `refuse`.
   */
  onQuotaFailure?: StorageFailurePolicy;
  /** Milliseconds after which the storage has failed, 10 to 60,000. Default 100. */
  storageTimeoutMs?: number;
  /**
   * Keys that are counted in memory, 1 to 10,000,000; beyond that the one whose last request is
   * longest ago begins anew. One takes about half a kilobyte, 2 if it is used all hour, 7 if 256
   * times or more within its window. Default 100,000.
   */
  maxKeys?: number;
  /** Whether `X-RateLimit-Limit`, `-Remaining` and `-Reset` are sent beside `RateLimit` and `RateLimit-Policy`. Default false. */
  legacyHeaders?: boolean;
}

/** What happens to requests that the storage of limits does not count in time. */
export type StorageFailurePolicy = 'local' | 'open' | 'refuse';

/** When the look-ups of an address go out together. Each field that is left out keeps its default. */
export interface FailedAttemptsOptions {
  /**
   * Look-ups of refused keys in a window after which those of the same address (IPv6: the same /64) go out together, every 50 ms
   * in one statement; null: never. No key is blocked by it. Default 100.
   */
  limit?: number | null;
  /** Seconds of that window, 1 to 86,400. Default 60. */
  windowSeconds?: number;
  /** Addresses that are counted, 1 to 1,000,000; beyond that the one whose last attempt is longest ago begins anew. Default 10,000. */
  maxAddresses?: number;
}

export const RATE_LIMIT_DEFAULTS = {
  limit: null,
  windowSeconds: 60,
  storage: null,
  onStorageFailure: 'local',
  onQuotaFailure: 'refuse',
  storageTimeoutMs: 100,
  maxKeys: 100_000,
  legacyHeaders: false,
} satisfies Required<RateLimitOptions>;

export const FAILED_ATTEMPTS_DEFAULTS = {
  limit: 100,
  windowSeconds: 60,
  maxAddresses: 10_000,
} satisfies Required<FailedAttemptsOptions>;

const RATE_LIMIT_CHECKS: FieldChecks<RateLimitOptions> = {
  limit: (value) => value === null || isWhole(value, 1, MAX_LIMIT),
  windowSeconds: (value) => isWhole(value, 1, MAX_WINDOW_SECONDS),
  storage: (value) =>
    value === null || value === 'memory' || value === 'postgres' || isThrottlerStorage(value),
  onStorageFailure: isFailurePolicy,
  onQuotaFailure: isFailurePolicy,
  storageTimeoutMs: (value) => isWhole(value, 10, 60_000),
  maxKeys: (value) => isWhole(value, 1, 10_000_000),
  legacyHeaders: (value) => typeof value === 'boolean',
};

const FAILED_ATTEMPTS_CHECKS: FieldChecks<FailedAttemptsOptions> = {
  limit: (value) => value === null || isWhole(value, 1, 1_000_000),
  windowSeconds: (value) => isWhole(value, 1, 86_400),
  maxAddresses: (value) => isWhole(value, 1, 1_000_000),
};

export function checkRateLimit(value: unknown): string | undefined {
  return must(
    fieldsFit(value, RATE_LIMIT_CHECKS),
    `{ limit } from 1 to ${MAX_LIMIT} or null, { windowSeconds } from 1 to ${MAX_WINDOW_SECONDS}, { storage } "memory", "postgres" or a ` +
      'ThrottlerStorage, { onStorageFailure } and { onQuotaFailure } "local", "open" or "refuse", { storageTimeoutMs } from 10 to 60000, ' +
      '{ maxKeys } from 1 to 10000000, { legacyHeaders } true or false',
  );
}

function isFailurePolicy(value: unknown): boolean {
  return value === 'local' || value === 'open' || value === 'refuse';
}

function isThrottlerStorage(value: unknown): boolean {
  return typeof (value as ThrottlerStorage | null)?.increment === 'function';
}

export function checkFailedAttempts(value: unknown): string | undefined {
  return must(
    fieldsFit(value, FAILED_ATTEMPTS_CHECKS),
    '{ limit } from 1 to 1000000 or null, { windowSeconds } from 1 to 86400, { maxAddresses } from 1 to 1000000',
  );
}
