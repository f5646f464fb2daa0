import type { ApiKey } from './api-key.entity';
import type { ApiKeyState } from './api-key-state';
import { quotaOf, rateLimitOf } from './authority';
import type { Quota, RateLimit } from './limits';

/** A key as people may see it. The description contains neither the raw key nor the digest. */
export interface ApiKeyDescription
  extends Pick<
    ApiKey,
    | 'id'
    | 'userId'
    | 'name'
    | 'masked'
    | 'scopes'
    | 'createdAt'
    | 'lastUsedAt'
    | 'expiresAt'
    | 'revokedAt'
    | 'disabledAt'
    | 'allowedIps'
    | 'metadata'
    | 'ancestorIds'
  > {
  readonly state: ApiKeyState;
  /** Environment of the key; null: none. */
  readonly environment: string | null;
  /** Time at which the key ends unless it is used before; null: never. */
  readonly endsUnusedAt: Date | null;
  readonly rateLimit: RateLimit | null;
  readonly quota: Quota | null;
  /** Id of the key that this key replaced in a rotation. */
  readonly replaces: string | null;
}

/** Describes a key for REST, the command line and the pages of an application. */
export function describeKey(apiKey: ApiKey, now: Date = new Date()): ApiKeyDescription {
  const { id, userId, name, masked, scopes, createdAt, lastUsedAt, expiresAt } = apiKey;
  const { revokedAt, disabledAt, allowedIps, metadata, replacesId, ancestorIds } = apiKey;
  return {
    id,
    userId,
    name,
    masked,
    scopes,
    state: apiKey.stateAt(now),
    environment: apiKey.environment ?? null,
    createdAt,
    lastUsedAt,
    expiresAt,
    endsUnusedAt: apiKey.endsUnusedAt ?? null,
    revokedAt,
    disabledAt,
    rateLimit: rateLimitOf(apiKey),
    quota: quotaOf(apiKey),
    allowedIps,
    metadata,
    replaces: replacesId,
    ancestorIds,
  };
}
