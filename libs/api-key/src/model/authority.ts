import { holdsScope } from '../credential/scope';
import type { ApiKey } from './api-key.entity';
import { isCidrWithin } from './ip-address';
import type { Quota, RateLimit, SharedLimit } from './limits';

const LONGEST_MONTH_DAYS = 31;

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
  /** Limits of ancestors that apply as well; null: none. */
  readonly sharedLimits: readonly SharedLimit[] | null;
}

/** A limit of keys without one of their own. */
export interface DefaultRate extends RateLimit {
  /**
   * Whether it does not count on every request (`skipIf`): as a bound it binds, as a limit that is
   * given it excuses nothing.
   */
  readonly isConditional: boolean;
}

/** Every limit of keys without one of their own. A token of providers. */
export abstract class DefaultRates {
  abstract readonly rates: readonly DefaultRate[];
}

/** How two authorities are compared. */
export interface Comparison {
  /** What limits a key without a limit of its own; empty: nothing does. */
  readonly defaults: readonly DefaultRate[];
  /**
   * Whether each use of what is given counts on the limits of the bound too. Then a limit need only
   * allow no more in the long run; else it must allow no more in any window, or what was used
   * before a change would be forgotten.
   */
  readonly isShared: boolean;
}

/** What one key gives beyond what another has. */
export interface Excess {
  /** In words, one a field. */
  readonly problems: readonly string[];
  /** The scopes among it. */
  readonly missing: readonly string[];
}

/**
 * The limit of a key; null where it has none of its own.
 * @param defaultWindowSeconds of a limit without a window, or with one that is none, as a hand may
 *   write; null: it shows as it is
 */
export function rateLimitOf(
  { rateLimit, rateLimitWindowSeconds }: ApiKey,
  defaultWindowSeconds: number | null = null,
): RateLimit | null {
  const hasWindow = rateLimitWindowSeconds !== null && rateLimitWindowSeconds > 0;
  const windowSeconds = hasWindow ? rateLimitWindowSeconds : (defaultWindowSeconds ?? rateLimitWindowSeconds);
  return rateLimit === null || windowSeconds === null ? null : { limit: rateLimit, windowSeconds };
}

/** The quota of a key; null where it has none. A period that is none, as a hand may write, is the longer one: it allows less. */
export function quotaOf({ quota, quotaPeriod }: ApiKey): Quota | null {
  if (quota == null) return null;
  return { limit: quota, period: quotaPeriod === 'day' ? 'day' : 'month' };
}

/**
 * The limits of a key that all keys that it makes use up as well; none if it has none of its own.
 */
export function ownShare({ rateLimit, quota }: Authority, bucket: string): readonly SharedLimit[] {
  return rateLimit === null && quota === null ? [] : [{ id: bucket, rateLimit, quota }];
}

/** What an authority allows beyond another one, all of its bounds judged. */
export function excessOf(given: Authority, bound: Authority, comparison: Comparison): Excess {
  const missing = given.scopes.filter((scope) => !holdsScope(bound.scopes, scope));
  const problems = [
    ...beyond(missing.length === 0, `scopes go beyond those of the key that acts: ${missing.join(', ')}`),
    ...beyond(
      areAddressesWithin(given.allowedIps, bound.allowedIps),
      'allowedIps go beyond those of the key that acts',
    ),
    ...beyond(
      isExpiryWithin(given.expiresAt, bound.expiresAt),
      'expiresAt goes beyond that of the key that acts',
    ),
    ...beyond(areLimitsWithin(given, bound, comparison), 'rateLimit goes beyond that of the key that acts'),
    ...beyond(areQuotasWithin(given, bound, comparison), 'quota goes beyond that of the key that acts'),
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
 * The default binds each key by itself, so a key that has it instead of a limit of its own frees
 * what it made from that.
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

/** Limits of one kind: those of the key itself, and those of ancestors by bucket. */
interface Limits<Limit> {
  readonly own: readonly Limit[];
  readonly shared: ReadonlyMap<string, Limit>;
}

/**
 * Each limit of the bound must hold for what is given: by its own limit, or a shared one by the
 * same in the same bucket. Another ancestor's limit excuses nothing, for it may be raised later.
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

/** Neither more in one burst, nor more in the long run. */
function isLimitWithin(given: RateLimit, bound: RateLimit): boolean {
  return given.limit <= bound.limit && given.limit * bound.windowSeconds <= bound.limit * given.windowSeconds;
}

function isLimitWithinAnyWindow(given: RateLimit, bound: RateLimit): boolean {
  return given.limit <= bound.limit && given.windowSeconds >= bound.windowSeconds;
}

/** What a month allows may be used within a day, and what a day allows on each day of a month. */
function isQuotaWithin(given: Quota, bound: Quota): boolean {
  const times = bound.period === 'month' && given.period === 'day' ? LONGEST_MONTH_DAYS : 1;
  return given.limit * times <= bound.limit;
}

function isQuotaWithinAnyPeriod(given: Quota, bound: Quota): boolean {
  return given.limit <= bound.limit && !(bound.period === 'month' && given.period === 'day');
}
