import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyAuthorityError, ApiKeyConflictError } from '../model/api-key.errors';
import { type Authority, type Comparison, excessOf, quotaOf, rateLimitOf } from '../model/authority';
import { bucketOf, MAX_SHARED_LIMITS, shareOf } from '../model/lineage';
import type { KeyChange } from './key-change';

type Defaults = Pick<KeyChange, 'windowSeconds'>;

/** Returns the scopes, addresses, expiry and limits of a key. */
export function authorityOf(apiKey: ApiKey, { windowSeconds }: Defaults): Authority {
  const { scopes, allowedIps, expiresAt, sharedLimits } = apiKey;
  return {
    scopes,
    allowedIps,
    expiresAt,
    rateLimit: rateLimitOf(apiKey, windowSeconds),
    quota: quotaOf(apiKey),
    sharedLimits,
  };
}

/** Returns the limits of a key that also count the requests of the keys that it makes. */
export function sharesOf(apiKey: ApiKey, defaults: Defaults) {
  return shareOf(authorityOf(apiKey, defaults), bucketOf(apiKey));
}

/**
 * @throws ApiKeyConflictError if a key acts, and a key would share more than `MAX_SHARED_LIMITS`
 *   limits
 */
export function refuseTooManyLimits(shared: number, { acting }: Pick<KeyChange, 'acting'>): void {
  if (!acting.apiKey || shared <= MAX_SHARED_LIMITS) return;
  throw new ApiKeyConflictError(
    `a key shares at most ${MAX_SHARED_LIMITS} limits with the keys that created it: use an older key for this change`,
  );
}

/** @throws ApiKeyAuthorityError if `given` is more than `bound` */
export function refuseExcess(given: Authority, bound: Authority, comparison: Comparison): void {
  const { problems, missing } = excessOf(given, bound, comparison);
  if (problems.length > 0) throw new ApiKeyAuthorityError(problems, missing);
}
