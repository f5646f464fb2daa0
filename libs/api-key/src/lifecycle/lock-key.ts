import type { EntityManager } from 'typeorm';
import { type ApiKey } from '../api-key.entity';
import { API_KEY_COLUMNS, type ApiKeyRow, apiKeyFromRow } from '../verification/api-key.row';

/** A key that this transaction holds, and what the database's clock and table say of it. */
export interface LockedKey {
  readonly apiKey: ApiKey;
  readonly expired: boolean;
  readonly successorId: string | null;
  readonly now: Date;
}

interface LockedRow extends ApiKeyRow {
  readonly expired: boolean;
  readonly now: Date;
}

/**
 * Locks a key until the transaction ends; null where there is none, or it is of another owner.
 * @param owner whose keys are seen; null: all
 */
export async function lockKey(
  manager: EntityManager,
  table: string,
  id: string,
  owner: string | null,
): Promise<LockedKey | null> {
  const [row] = await manager.query<LockedRow[]>(
    `SELECT ${API_KEY_COLUMNS}, coalesce(expires_at <= clock_timestamp(), false) AS expired, clock_timestamp() AS now
     FROM ${table} WHERE id = $1::bigint AND ($2::text IS NULL OR user_id::text = $2) FOR UPDATE`,
    [id, owner],
  );
  if (!row) return null;
  const [successor] = await manager.query<{ id: unknown }[]>(
    `SELECT id FROM ${table} WHERE replaces_id = $1::bigint`,
    [id],
  );
  return {
    apiKey: apiKeyFromRow(row),
    expired: row.expired,
    successorId: successor ? String(successor.id) : null,
    now: row.now,
  };
}
