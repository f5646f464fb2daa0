import { type ApiKey, type IssuedApiKey, quotaOf, type RecordedApiKeyEvent, rateLimitOf } from '../index';

/** A key as its owner sees it; never the key or its digest. */
export function presentKey(apiKey: ApiKey, now = new Date()) {
  const { id, name, masked, scopes, allowedIps, metadata, replacesId, ancestorIds } = apiKey;
  const { createdAt, lastUsedAt, expiresAt, revokedAt } = apiKey;
  return {
    id,
    name,
    masked,
    scopes,
    state: stateOf(apiKey, now),
    expiresAt,
    revokedAt,
    lastUsedAt,
    createdAt,
    rateLimit: rateLimitOf(apiKey),
    quota: quotaOf(apiKey),
    allowedIps,
    metadata,
    replaces: replacesId,
    ancestorIds,
  };
}

/** A key just issued, with the raw key: the one answer that holds it. */
export function presentIssued({ key, apiKey }: IssuedApiKey) {
  return { ...presentKey(apiKey), key };
}

/** An event of the trail. */
export function presentEvent({
  id,
  type,
  at,
  actor,
  address,
  requestId,
  keyId,
  masked,
  details,
}: RecordedApiKeyEvent) {
  return { id, type, at, actor, address, requestId, keyId, masked, details };
}

function stateOf(apiKey: ApiKey, now: Date): 'active' | 'expired' | 'revoked' {
  if (apiKey.revokedAt) return 'revoked';
  return apiKey.isExpired(now) ? 'expired' : 'active';
}
