import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyPolicyError } from '../model/api-key.errors';
import type { ResolvedPolicyOptions } from '../options/policy';
import { atMostLastExpiry } from './last-expiry';

/** The rules about the expiry of a key. */
export type LifetimePolicy = Pick<
  ResolvedPolicyOptions,
  'maxLifetimeDays' | 'defaultLifetimeDays' | 'allowNever'
>;

const DAY_MS = 86_400_000;
/**
 * A caller computes "90 days from now" by its own clock. An expiry that is later than allowed by
 * this time or less is shortened instead of refused.
 */
const LEEWAY_MS = 60_000;

/**
 * Returns the expiry of a key for which none was asked; null: it never expires.
 * @param now when the key is created
 */
function defaultExpiry(now: Date, policy: LifetimePolicy): Date | null {
  const days = policy.defaultLifetimeDays ?? policy.maxLifetimeDays;
  return days === null ? null : after(now, days);
}

/**
 * Returns the expiry of a new key.
 * @param asked undefined: the default lifetime, but no longer than `bound`
 * @param bound the expiry of the acting key; null: none
 * @throws ApiKeyPolicyError if the policy does not allow it
 */
export function expiryOfNew(
  asked: Date | null | undefined,
  bound: Date | null,
  now: Date,
  policy: LifetimePolicy,
): Date | null {
  if (asked !== undefined) return permittedExpiry(asked, now, policy);
  return permittedExpiry(earlier(defaultExpiry(now, policy), bound), now, policy);
}

/**
 * Returns an expiry that was asked for, shortened by at most a minute.
 * @param createdAt when the key was created
 * @throws ApiKeyPolicyError if the policy does not allow it
 */
export function permittedExpiry(
  expiresAt: Date | null,
  createdAt: Date,
  policy: LifetimePolicy,
): Date | null {
  if (expiresAt === null) {
    if (policy.allowNever) return null;
    throw new ApiKeyPolicyError('allowNever', 'a key must expire, but expiresAt is null or missing');
  }
  return permittedEnd(expiresAt, createdAt, policy);
}

/** Does the same as `permittedExpiry` for a key that expires. */
export function permittedEnd(expiresAt: Date, createdAt: Date, policy: LifetimePolicy): Date {
  const latest = latestExpiry(createdAt, policy);
  if (latest === null || expiresAt <= latest) return expiresAt;
  if (expiresAt.getTime() - latest.getTime() <= LEEWAY_MS) return latest;
  throw new ApiKeyPolicyError(
    'maxLifetimeDays',
    `a key lives at most ${policy.maxLifetimeDays} days from its creation: expiresAt must be at most ${latest.toISOString()}`,
  );
}

/**
 * Returns the expiry of a successor for which none was asked: the lifetime of the old key, as far
 * as the policy allows it.
 * @param sameLife the expiry after the same lifetime; null: never
 * @param bound the expiry of the acting key; null: none
 * @throws ApiKeyPolicyError if a key must expire, and there is no default lifetime
 */
export function successorExpiry(
  sameLife: Date | null,
  bound: Date | null,
  now: Date,
  policy: LifetimePolicy,
): Date | null {
  const isRefused = sameLife === null && !policy.allowNever;
  const own = isRefused ? defaultExpiry(now, policy) : earlier(sameLife, latestExpiry(now, policy));
  return permittedExpiry(earlier(own, bound), now, policy);
}

/**
 * Returns the new expiry of a stored key. A key may always expire earlier, also if that is still
 * later than the policy allows. If something else, such as a Rails app, gave a disabled key a later
 * expiry, the key never had it.
 * @throws ApiKeyPolicyError if the key would live longer than the policy allows
 */
export function changedExpiry(
  asked: Date | null,
  { expiresAt, enabledExpiresAt, createdAt }: Pick<ApiKey, 'expiresAt' | 'enabledExpiresAt' | 'createdAt'>,
  policy: LifetimePolicy,
): Date | null {
  const had = earlier(expiresAt, enabledExpiresAt);
  const isLater = had !== null && (asked === null || asked > had);
  return isLater ? permittedExpiry(asked, createdAt, policy) : asked;
}

/** Returns when a key ends unless it is used before; null: never. */
export function unusedEnd(
  { lastUsedAt, createdAt }: { readonly lastUsedAt: Date | null; readonly createdAt: Date },
  { endUnusedAfterDays }: Pick<ResolvedPolicyOptions, 'endUnusedAfterDays'>,
): Date | null {
  if (endUnusedAfterDays === null) return null;
  const used = lastUsedAt !== null && !(lastUsedAt < createdAt) ? lastUsedAt : createdAt;
  return after(used, endUnusedAfterDays);
}

/** An unknown time of creation allows no lifetime. */
function latestExpiry(createdAt: Date, { maxLifetimeDays }: LifetimePolicy): Date | null {
  if (maxLifetimeDays === null) return null;
  return Number.isNaN(createdAt.getTime()) ? new Date(0) : after(createdAt, maxLifetimeDays);
}

/** null is never. */
function earlier(one: Date | null, other: Date | null): Date | null {
  if (one === null || other === null) return one ?? other;
  return one < other ? one : other;
}

function after(time: Date, days: number): Date {
  return atMostLastExpiry(time.getTime() + days * DAY_MS);
}
