import type { ApiKey } from '../api-key.entity';
import { MAX_ANCESTORS } from '../lineage';
import { API_KEY_COLUMNS, type ApiKeyRow, apiKeyFromRow } from '../verification/api-key.row';
import type { KeyChange } from './key-change';

type Table = Pick<KeyChange, 'manager' | 'table'>;

const IS_LIVE = 'k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())';

/**
 * All that a key made, as a query `lineage (id)` with the key itself, even if its row is gone. A row may lack its
 * oldest ancestors, so the search continues from each key that it finds.
 * @param ids the parameter of the key, or those of several
 */
export function lineage(table: string, ids = '$1'): string {
  return `WITH RECURSIVE lineage (id) AS (
      SELECT unnest(ARRAY[${ids}]::bigint[])
      UNION
      SELECT k.id FROM lineage l JOIN ${table} k ON k.ancestor_ids @> ARRAY[l.id]
    )`;
}

/**
 * The owners of a key and of all that it made.
 * @param owner the only one who is looked for; null: all
 */
export async function ownersOfLineage(
  { manager, table }: Table,
  id: string,
  owner: string | null,
): Promise<string[]> {
  const rows = await manager.query<{ owner: string }[]>(
    `${lineage(table)} SELECT DISTINCT user_id::text AS owner FROM ${table} WHERE id IN (SELECT id FROM lineage) AND ($2::text IS NULL OR user_id::text = $2) ORDER BY 1`,
    [id, owner],
  );
  return rows.map((row) => row.owner);
}

/** Revokes all that a key made and is not revoked yet. */
export async function revokeDescendants(
  { manager, table }: Table,
  id: string,
  owner: string | null,
): Promise<ApiKey[]> {
  const [rows] = await manager.query<[ApiKeyRow[], number]>(
    `${lineage(table)} UPDATE ${table} k SET revoked_at = now(), expires_at = least(expires_at, now()), updated_at = now()
     WHERE id IN (SELECT id FROM lineage) AND id <> $1::bigint AND revoked_at IS NULL AND ($2::text IS NULL OR user_id::text = $2)
     RETURNING ${API_KEY_COLUMNS}`,
    [id, owner],
  );
  return rows.map(apiKeyFromRow);
}

/** How many keys that a key made are accepted now. */
export async function countLiveDescendants({ manager, table }: Table, id: string): Promise<number> {
  const [{ count }] = await manager.query<[{ count: string }]>(
    `${lineage(table)} SELECT count(*) FROM ${table} k WHERE id IN (SELECT id FROM lineage) AND id <> $1::bigint AND ${IS_LIVE}`,
    [id],
  );
  return Number(count);
}

/** Those of some keys that are revoked, expired, rotated or gone. */
export async function endedAmong(
  { manager, table }: Table,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  if (ids.length <= MAX_ANCESTORS) return new Set();
  const rows = await manager.query<{ id: unknown }[]>(
    `SELECT k.id FROM ${table} k
     WHERE k.id = ANY ($1::bigint[]) AND ${IS_LIVE} AND NOT EXISTS (SELECT FROM ${table} s WHERE s.replaces_id = k.id)`,
    [ids],
  );
  const live = new Set(rows.map(({ id }) => String(id)));
  return new Set(ids.filter((id) => !live.has(id)));
}
