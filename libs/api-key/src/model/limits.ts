/** No limit and no quota allows more, and no request costs more. */
export const MAX_LIMIT = 1_000_000_000;
/** No window is longer: 366 days. */
export const MAX_WINDOW_SECONDS = 31_622_400;

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

/**
 * The limits of one ancestor, which all keys that it made use up together with it. At least one of
 * the two is set.
 */
export interface SharedLimit {
  /**
   * The key in whose buckets its use is counted: the ancestor, or the first of the keys that it was
   * rotated from.
   */
  readonly id: string;
  readonly rateLimit: RateLimit | null;
  readonly quota: Quota | null;
}

/**
 * What stands for a limit that cannot be read, as a hand may write: it allows nothing, for what it
 * allowed is unknown.
 */
const NOTHING: SharedLimit = {
  id: '0',
  rateLimit: { limit: 0, windowSeconds: MAX_WINDOW_SECONDS },
  quota: { limit: 0, period: 'month' },
};

/** The shared limits of a row; NULL is none. */
export function sharedLimitsOrNone(value: unknown): SharedLimit[] | null {
  if (value === null || value === undefined) return null;
  return Array.isArray(value) ? value.map((limit) => (isSharedLimit(limit) ? limit : NOTHING)) : [NOTHING];
}

function isSharedLimit(value: unknown): value is SharedLimit {
  const { id, rateLimit, quota } = Object(value) as Partial<SharedLimit>;
  return (
    typeof id === 'string' &&
    (rateLimit === null || isRateLimit(rateLimit)) &&
    (quota === null || isQuota(quota))
  );
}

/** Whether a value is a rate limit in its bounds, and has no other field. */
export function isRateLimit(value: unknown): value is RateLimit {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false;
  const { limit, windowSeconds } = value as Partial<RateLimit>;
  return isWhole(limit, MAX_LIMIT) && isWhole(windowSeconds, MAX_WINDOW_SECONDS);
}

/** Whether a value is a quota in its bounds, and has no other field. */
export function isQuota(value: unknown): value is Quota {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false;
  const { limit, period } = value as Partial<Quota>;
  return isWhole(limit, MAX_LIMIT) && (period === 'day' || period === 'month');
}

function isWhole(value: unknown, max: number): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= max;
}
