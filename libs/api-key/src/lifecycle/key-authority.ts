import type { ApiKey } from '../api-key.entity';
import { ApiKeyAuthorityError } from '../api-key.errors';
import { type Authority, type Excess, quotaOf, rateLimitOf } from '../authority';

/** What a key may do and for how long. */
export function authorityOf(apiKey: ApiKey): Authority {
  const { scopes, allowedIps, expiresAt } = apiKey;
  return { scopes, allowedIps, expiresAt, rateLimit: rateLimitOf(apiKey), quota: quotaOf(apiKey) };
}

/** @throws ApiKeyAuthorityError where something goes beyond */
export function refuseExcess({ problems, missing }: Excess): void {
  if (problems.length > 0) throw new ApiKeyAuthorityError(problems, missing);
}
