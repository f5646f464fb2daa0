import type { ApiKey } from '../api-key.entity';
import { ApiKeyAuthorityError } from '../api-key.errors';
import type { Authority, Excess, RateLimit } from '../authority';

/** What a key may do and for how long. */
export function authorityOf(apiKey: ApiKey): Authority {
  const { scopes, allowedIps, expiresAt } = apiKey;
  return { scopes, allowedIps, expiresAt, rateLimit: rateLimitOf(apiKey) };
}

/** The limit of a key; null where it has none of its own. */
export function rateLimitOf({ rateLimit, rateLimitWindowSeconds }: ApiKey): RateLimit | null {
  if (rateLimit === null || rateLimitWindowSeconds === null) return null;
  return { limit: rateLimit, windowSeconds: rateLimitWindowSeconds };
}

/** @throws ApiKeyAuthorityError where something goes beyond */
export function refuseExcess({ problems, missing }: Excess): void {
  if (problems.length > 0) throw new ApiKeyAuthorityError(problems, missing);
}
