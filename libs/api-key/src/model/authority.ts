import { holdsScope } from '../credential/scope';
import type { ApiKey } from './api-key.entity';
import { isCidrWithin } from './ip-address';
import type { Quota, RateLimit, SharedLimit } from './limits';

const LONGEST_MONTH_DAYS = 31;

/** What a key may do and for how long. */
export interface Authority {
  readonly scopes: readonly string[];
  /** null: from every address. */
  readonly allowedIps: readonly string[] | null;
  /** null: no expiry. */
  readonly expiresAt: Date | null;
  /** null: the default of the module applies. */
  readonly rateLimit: RateLimit | null;
  /** null: no quota. */
  readonly quota: Quota | null;
  /** Limits of ancestors. They apply in addition to the own limits; null: none. */
  readonly sharedLimits: readonly SharedLimit[] | null;
}

/** A default limit. It applies to keys without a limit of their own. */
export interface DefaultRate extends RateLimit {
  /**
   * Whether some requests do not count on this limit (`skipIf`). Such a limit restricts what the
   * acting key may give. But it does not count as a limit of the key that receives.
   */
  readonly isConditional: boolean;
}

/** All default limits. This class is an injection token. */
export abstract class DefaultRates {
  abstract readonly rates: readonly DefaultRate[];
}

/** How two authorities are compared. */
export interface Comparison {
  /**
   * The default limits, which apply to a key without a limit of its own; empty: no default limit.
   */
  readonly defaults: readonly DefaultRate[];
  /**
   * Whether each use of the given authority also counts on the limits of the bound. If true, a
   * given limit must not allow more in the long run. If false, a given limit must not allow more in
   * any window, because the new window does not count the use before the change.
   */
  readonly isShared: boolean;
}

/** What one authority gives beyond another. */
export interface Excess {
  /** One text for each field that gives more than the bound. */
  readonly problems: readonly string[];
  /** The scopes that go beyond. */
  readonly missing: readonly string[];
}

/**
 * The limit of a key; null if the key has no limit of its own.
 * @param defaultWindowSeconds replaces a window that is missing or invalid, for example edited by
 *   hand. null: the window is returned as it is stored
 */
export function rateLimitOf(
  { rateLimit, rateLimitWindowSeconds }: ApiKey,
  defaultWindowSeconds: number | null = null,
): RateLimit | null {
  const hasWindow = rateLimitWindowSeconds !== null && rateLimitWindowSeconds > 0;
  const windowSeconds = hasWindow ? rateLimitWindowSeconds : (defaultWindowSeconds ?? rateLimitWindowSeconds);
  return rateLimit === null || windowSeconds === null ? null : { limit: rateLimit, windowSeconds };
}

/**
 * The quota of a key; null if the key has no quota. An invalid period, for example edited by hand,
 * becomes `month`, because the longer period allows less.
 */
export function quotaOf({ quota, quotaPeriod }: ApiKey): Quota | null {
  if (quota == null) return null;
  return { limit: quota, period: quotaPeriod === 'day' ? 'day' : 'month' };
}

/**
 * The own limits of a key, which the keys that it makes use up too. Empty if the key has no limits
 * of its own.
 */
export function ownShare({ rateLimit, quota }: Authority, bucket: string): readonly SharedLimit[] {
  return rateLimit === null && quota === null ? [] : [{ id: bucket, rateLimit, quota }];
}

/** What an authority allows beyond another authority. All bounds are checked. */
export function excessOf(given: Authority, bound: Authority, comparison: Comparison): Excess {
  const missing = given.scopes.filter((scope) => !holdsScope(bound.scopes, scope));
  const problems = [
    ...beyond(missing.length === 0, `scopes exceed those of the acting key: ${missing.join(', ')}`),
    ...beyond(
      areAddressesWithin(given.allowedIps, bound.allowedIps),
      'allowedIps exceed those of the acting key',
    ),
    ...beyond(isExpiryWithin(given.expiresAt, bound.expiresAt), 'expiresAt exceeds that of the acting key'),
    ...beyond(areLimitsWithin(given, bound, comparison), 'rateLimit exceeds that of the acting key'),
    ...beyond(areQuotasWithin(given, bound, comparison), 'quota exceeds that of the acting key'),
  ];
  return { problems, missing };
}

function beyond(isWithin: boolean, problem: string): string[] {
  return isWithin ? [] : [problem];
}

function areAddressesWithin(given: readonly string[] | null, bound: readonly string[] | null): boolean {
  if (bound === null) return true;
  if (given === null) return false;
  return given.every((inner) => bound.some((outer) => isCidrWithin(inner, outer)));
}

function isExpiryWithin(given: Date | null, bound: Date | null): boolean {
  return bound === null || (given !== null && given.getTime() <= bound.getTime());
}

/**
 * A default limit counts each key separately. If a key exchanges its own limit for the default, the
 * own limit no longer restricts the keys that the key made.
 */
function areLimitsWithin(given: Authority, bound: Authority, { defaults, isShared }: Comparison): boolean {
  if (!isShared && given.rateLimit === null && bound.rateLimit !== null) return false;
  const certain = defaults.filter(({ isConditional }) => !isConditional);
  const isUnchanged = given.rateLimit === null && bound.rateLimit === null;
  const inner = ratesOf(given, certain);
  const outer = ratesOf(bound, isUnchanged ? [] : defaults);
  return areWithin(inner, outer, isShared ? isLimitWithin : isLimitWithinAnyWindow);
}

function areQuotasWithin(given: Authority, bound: Authority, { isShared }: Comparison): boolean {
  return areWithin(quotasOf(given), quotasOf(bound), isShared ? isQuotaWithin : isQuotaWithinAnyPeriod);
}

/** Limits of one kind: the own limits of the key, and the limits of ancestors by bucket. */
interface Limits<Limit> {
  readonly own: readonly Limit[];
  readonly shared: ReadonlyMap<string, Limit>;
}

/**
 * Each limit of the bound must hold for the given authority. An own limit of the given authority
 * may ensure this. For a shared limit, the shared limit of the same bucket may ensure this too. The
 * limit of another ancestor does not count, because that limit may be raised later.
 */
function areWithin<Limit>(
  given: Limits<Limit>,
  bound: Limits<Limit>,
  isWithin: (inner: Limit, outer: Limit) => boolean,
): boolean {
  const isOwnWithin = (outer: Limit) => given.own.some((inner) => isWithin(inner, outer));
  return (
    bound.own.every(isOwnWithin) &&
    [...bound.shared].every(([bucket, outer]) => {
      const inner = given.shared.get(bucket);
      return isOwnWithin(outer) || (inner !== undefined && isWithin(inner, outer));
    })
  );
}

function ratesOf({ rateLimit, sharedLimits }: Authority, defaults: readonly RateLimit[]): Limits<RateLimit> {
  return {
    own: rateLimit === null ? defaults : [rateLimit],
    shared: byBucket(sharedLimits, (limit) => limit.rateLimit),
  };
}

function quotasOf({ quota, sharedLimits }: Authority): Limits<Quota> {
  return { own: quota === null ? [] : [quota], shared: byBucket(sharedLimits, (limit) => limit.quota) };
}

function byBucket<Limit>(
  shared: readonly SharedLimit[] | null,
  of: (limit: SharedLimit) => Limit | null,
): ReadonlyMap<string, Limit> {
  const limits = new Map<string, Limit>();
  for (const limit of shared ?? []) {
    const one = of(limit);
    if (one !== null) limits.set(limit.id, one);
  }
  return limits;
}

/** Whether a limit allows no more in one burst, and no more in the long run. */
function isLimitWithin(given: RateLimit, bound: RateLimit): boolean {
  return given.limit <= bound.limit && given.limit * bound.windowSeconds <= bound.limit * given.windowSeconds;
}

function isLimitWithinAnyWindow(given: RateLimit, bound: RateLimit): boolean {
  return given.limit <= bound.limit && given.windowSeconds >= bound.windowSeconds;
}

/**
 * A monthly quota may be used up within one day. A daily quota may be used up on each day of a
 * month.
 */
function isQuotaWithin(given: Quota, bound: Quota): boolean {
  const times = bound.period === 'month' && given.period === 'day' ? LONGEST_MONTH_DAYS : 1;
  return given.limit * times <= bound.limit;
}

function isQuotaWithinAnyPeriod(given: Quota, bound: Quota): boolean {
  return given.limit <= bound.limit && !(bound.period === 'month' && given.period === 'day');
}
