import { isDeepStrictEqual } from 'node:util';
import type { EntityManager } from 'typeorm';
import type { ApiKey } from '../api-key.entity';
import { ApiKeyConflictError } from '../api-key.errors';
import type { UpdateApiKeyInput } from '../api-key.input';
import { quotaOf, rateLimitOf } from '../authority';
import { API_KEY_COLUMNS, type ApiKeyRow, apiKeyFromRow } from '../verification/api-key.row';
import type { LockedKey } from './lock-key';
import { blocksOf } from './new-key';

/** What changed: the old and the new value of each field. */
export type Changes = Record<string, { readonly old: unknown; readonly new: unknown }>;

/**
 * Changes the given fields of a locked key.
 * @throws ApiKeyConflictError where the key is revoked, for nothing may revive it
 */
export async function updateKey(
  manager: EntityManager,
  table: string,
  { apiKey: before }: LockedKey,
  changes: UpdateApiKeyInput,
): Promise<{ apiKey: ApiKey; changes: Changes }> {
  if (before.revokedAt) throw new ApiKeyConflictError(`key ${before.id} is revoked and cannot be changed`);
  const merged = { ...fieldsOf(before), ...defined(changes) };
  const [[row]] = await manager.query<[[ApiKeyRow], number]>(
    `UPDATE ${table} SET name = $2, scopes = $3, expires_at = CASE WHEN $4 THEN $5::timestamptz ELSE expires_at END,
       rate_limit = $6, rate_limit_window_seconds = $7, quota = $8, quota_period = $9, allowed_ips = ${blocksOf('$10')}, metadata = $11, updated_at = now()
     WHERE id = $1::bigint RETURNING ${API_KEY_COLUMNS}`,
    [
      before.id,
      merged.name,
      merged.scopes,
      changes.expiresAt !== undefined,
      merged.expiresAt,
      merged.rateLimit?.limit ?? null,
      merged.rateLimit?.windowSeconds ?? null,
      merged.quota?.limit ?? null,
      merged.quota?.period ?? null,
      merged.allowedIps,
      merged.metadata,
    ],
  );
  const apiKey = apiKeyFromRow(row);
  return { apiKey, changes: difference(fieldsOf(before), fieldsOf(apiKey)) };
}

function fieldsOf(apiKey: ApiKey) {
  const { name, scopes, expiresAt, allowedIps, metadata } = apiKey;
  return {
    name,
    scopes,
    expiresAt,
    rateLimit: rateLimitOf(apiKey),
    quota: quotaOf(apiKey),
    allowedIps,
    metadata,
  };
}

function defined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function difference(before: object, after: object): Changes {
  const old = new Map(Object.entries(before));
  const changed = Object.entries(after).filter(([field, value]) => !isDeepStrictEqual(old.get(field), value));
  return Object.fromEntries(changed.map(([field, value]) => [field, { old: old.get(field), new: value }]));
}
