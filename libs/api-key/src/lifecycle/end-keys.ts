import type { EntityManager } from 'typeorm';
import type { ApiKey } from '../api-key.entity';
import { API_KEY_COLUMNS, type ApiKeyRow, apiKeyFromRow } from '../verification/api-key.row';

/** Revokes a key that is not revoked yet; it is also expired from now on, for a Rails app on the same table knows only that. */
export async function revokeKey(manager: EntityManager, table: string, id: string): Promise<ApiKey | null> {
  return (await revokeWhere(manager, table, 'id = $1::bigint', id))[0] ?? null;
}

/** Revokes all keys of an owner that are not revoked yet. */
export function revokeKeysOf(manager: EntityManager, table: string, owner: string): Promise<ApiKey[]> {
  return revokeWhere(manager, table, 'user_id = $1', owner);
}

/** Removes a key of an owner, or of any where the owner is null. */
export async function deleteKey(
  manager: EntityManager,
  table: string,
  id: string,
  owner: string | null,
): Promise<ApiKey | null> {
  const [rows] = await manager.query<[ApiKeyRow[], number]>(
    `DELETE FROM ${table} WHERE id = $1::bigint AND ($2::text IS NULL OR user_id::text = $2) RETURNING ${API_KEY_COLUMNS}`,
    [id, owner],
  );
  return rows[0] ? apiKeyFromRow(rows[0]) : null;
}

/** Removes keys that ended so many days ago: the next so many of them behind an id. */
export async function deleteEndedKeys(
  manager: EntityManager,
  table: string,
  olderThanDays: number,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<ApiKey[]> {
  const [rows] = await manager.query<[ApiKeyRow[], number]>(
    `DELETE FROM ${table} WHERE id IN (
       SELECT id FROM ${table}
       WHERE least(revoked_at, expires_at) < clock_timestamp() - $1 * interval '1 day' AND id > $2::bigint
       ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED
     ) RETURNING ${API_KEY_COLUMNS}`,
    [olderThanDays, after, limit],
  );
  return rows.map(apiKeyFromRow);
}

async function revokeWhere(
  manager: EntityManager,
  table: string,
  condition: string,
  value: string,
): Promise<ApiKey[]> {
  const [rows] = await manager.query<[ApiKeyRow[], number]>(
    `UPDATE ${table} SET revoked_at = now(), expires_at = least(expires_at, now()), updated_at = now()
     WHERE ${condition} AND revoked_at IS NULL RETURNING ${API_KEY_COLUMNS}`,
    [value],
  );
  return rows.map(apiKeyFromRow);
}
