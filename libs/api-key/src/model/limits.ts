/** The largest rate limit, the largest quota and the largest fixed cost of a request. */
export const MAX_LIMIT = 1_000_000_000;
/** The longest window: 366 days. */
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

/** How much a key may use in a calendar period. */
export interface Quota {
  /** 1 to 1,000,000,000. A request uses its cost: 1, unless its route sets another cost. */
  readonly limit: number;
  readonly period: QuotaPeriod;
}

/**
 * The limits of one ancestor. The ancestor and all keys that it made use up these limits together.
 * At least one of `rateLimit` and `quota` is set.
 */
export interface SharedLimit {
  /**
   * Id of the bucket that counts the use. This is the id of the ancestor. If the ancestor is the
   * result of rotations, this is the id of the first key of these rotations.
   */
  readonly id: string;
  readonly rateLimit: RateLimit | null;
  readonly quota: Quota | null;
}

/**
 * Replaces a limit that cannot be read, for example a limit that was edited by hand. It allows
 * nothing, because the intended limit is unknown.
 */
const NOTHING: SharedLimit = {
  id: '0',
  rateLimit: { limit: 0, windowSeconds: MAX_WINDOW_SECONDS },
  quota: { limit: 0, period: 'month' },
};

/** The shared limits of a row; null if the column is NULL. */
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

/**
 * Whether a value is a valid rate limit: each field is within its bounds, and no field is extra.
 */
export function isRateLimit(value: unknown): value is RateLimit {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false;
  const { limit, windowSeconds } = value as Partial<RateLimit>;
  return isWhole(limit, MAX_LIMIT) && isWhole(windowSeconds, MAX_WINDOW_SECONDS);
}

/** Whether a value is a valid quota: each field is within its bounds, and no field is extra. */
export function isQuota(value: unknown): value is Quota {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2) return false;
  const { limit, period } = value as Partial<Quota>;
  return isWhole(limit, MAX_LIMIT) && (period === 'day' || period === 'month');
}

function isWhole(value: unknown, max: number): boolean {
  return Number.isInteger(value) && Number(value) >= 1 && Number(value) <= max;
}
