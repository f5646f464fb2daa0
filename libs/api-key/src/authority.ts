import { isCidrWithin } from './address-list';
import type { ApiKey } from './api-key.entity';
import { holdsScope } from './credential/scope';

const LONGEST_MONTH_DAYS = 31;

/** No limit and no quota allows more, and no request costs more. */
export const MAX_LIMIT = 1_000_000_000;
/** No window is longer: 366 days. */
export const MAX_WINDOW_SECONDS = 31_622_400;

/** What a key may do and for how long. */
export interface Authority {
  readonly scopes: readonly string[];
  /** Null: from everywhere. */
  readonly allowedIps: readonly string[] | null;
  /** Null: for ever. */
  readonly expiresAt: Date | null;
  /** Null: the default of the module. */
  readonly rateLimit: RateLimit | null;
  /** Null: none. */
  readonly quota: Quota | null;
}

/** How many requests a window allows. */
export interface RateLimit {
  /** 1 to 1,000,000,000. */
  readonly limit: number;
  /** 1 to 31,622,400 (366 days). */
  readonly windowSeconds: number;
}

/** A calendar period of UTC. */
export type QuotaPeriod = 'day' | 'month';

/** How much may be used in a calendar period. */
export interface Quota {
  /** 1 to 1,000,000,000; a request uses its cost, 1 unless its route says otherwise. */
  readonly limit: number;
  readonly period: QuotaPeriod;
}

/** The limits of one ancestor, which all keys that it made use up together with it. At least one of the two is set. */
export interface SharedLimit {
  /** The key in whose buckets its use is counted: the ancestor, or the first of the keys that it was rotated from. */
  readonly id: string;
  readonly rateLimit: RateLimit | null;
  readonly quota: Quota | null;
}

/** What one key gives beyond what another has. */
export interface Excess {
  /** In words, one a field. */
  readonly problems: readonly string[];
  /** The scopes among it. */
  readonly missing: readonly string[];
}

/** The limit of a key; null where it has none of its own. */
export function rateLimitOf({ rateLimit, rateLimitWindowSeconds }: ApiKey): RateLimit | null {
  if (rateLimit === null || rateLimitWindowSeconds === null) return null;
  return { limit: rateLimit, windowSeconds: rateLimitWindowSeconds };
}

/** The quota of a key; null where it has none. A period that is none, as a hand may write, is the longer one: it allows less. */
export function quotaOf({ quota, quotaPeriod }: ApiKey): Quota | null {
  if (quota == null) return null;
  return { limit: quota, period: quotaPeriod === 'day' ? 'day' : 'month' };
}

/** What is given beyond what the maker has; a field that is not given goes beyond nothing. */
export function excessOf(given: Partial<Authority>, maker: Authority): Excess {
  const missing = (given.scopes ?? []).filter((scope) => !holdsScope(maker.scopes, scope));
  const problems = [
    ...(missing.length > 0 ? [`scopes go beyond those of the key that acts: ${missing.join(', ')}`] : []),
    ...(given.allowedIps === undefined || areAddressesWithin(given.allowedIps, maker.allowedIps)
      ? []
      : ['allowedIps go beyond those of the key that acts']),
    ...(given.expiresAt === undefined || isExpiryWithin(given.expiresAt, maker.expiresAt)
      ? []
      : ['expiresAt goes beyond that of the key that acts']),
    ...(given.rateLimit === undefined || isLimitWithin(given.rateLimit, maker.rateLimit)
      ? []
      : ['rateLimit goes beyond that of the key that acts']),
    ...(given.quota === undefined || isQuotaWithin(given.quota, maker.quota)
      ? []
      : ['quota goes beyond that of the key that acts']),
  ];
  return { problems, missing };
}

function areAddressesWithin(given: readonly string[] | null, maker: readonly string[] | null): boolean {
  if (maker === null) return true;
  if (given === null) return false;
  return given.every((inner) => maker.some((outer) => isCidrWithin(inner, outer)));
}

function isExpiryWithin(given: Date | null, maker: Date | null): boolean {
  return maker === null || (given !== null && given.getTime() <= maker.getTime());
}

/** Neither more in one burst, nor more in the long run. */
function isLimitWithin(given: RateLimit | null, maker: RateLimit | null): boolean {
  if (maker === null) return true;
  return (
    given !== null &&
    given.limit <= maker.limit &&
    given.limit * maker.windowSeconds <= maker.limit * given.windowSeconds
  );
}

/** What a month allows may be used within a day, and what a day allows on each day of a month. */
function isQuotaWithin(given: Quota | null, maker: Quota | null): boolean {
  if (maker === null) return true;
  if (given === null) return false;
  const times = maker.period === 'month' && given.period === 'day' ? LONGEST_MONTH_DAYS : 1;
  return given.limit * times <= maker.limit;
}
