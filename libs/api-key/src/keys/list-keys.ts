import { API_KEY_COLUMNS, apiKeyFromRow } from '../database/api-key.row';
import type { Database } from '../database/database';
import { EQUALS } from '../database/own-names';
import type { ApiKey } from '../model/api-key.entity';
import type { ApiKeyState } from './input-shapes';

/** Which keys are listed. */
export interface KeyListing {
  readonly owner: string | null;
  readonly state: ApiKeyState | undefined;
  readonly before: string | null;
  readonly limit: number;
}

const IN_STATE: Readonly<Record<ApiKeyState, string>> = {
  active: 'revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())',
  expired: 'revoked_at IS NULL AND expires_at <= clock_timestamp()',
  revoked: 'revoked_at IS NOT NULL',
};

/** Keys by falling id, those below `before`: a page costs the same wherever it is, and no insert moves it. */
export async function pageOfKeys(
  database: Database,
  { owner, state, before, limit }: KeyListing,
): Promise<ApiKey[]> {
  const values: unknown[] = [limit];
  const conditions: string[] = state === undefined ? [] : [IN_STATE[state]];
  if (owner !== null) conditions.push(`user_id ${EQUALS} $${values.push(owner)}`);
  if (before !== null) conditions.push(`id < $${values.push(before)}::bigint`);
  const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
  const rows = await database.read((session) =>
    session.rows(
      `SELECT ${API_KEY_COLUMNS} FROM ${session.tables.keys} k ${where} ORDER BY k.id DESC LIMIT $1`,
      values,
    ),
  );
  return rows.map(apiKeyFromRow);
}

/** A key by its id, of one owner where it is not null. */
export async function keyById(database: Database, id: string, owner: string | null): Promise<ApiKey | null> {
  const rows = await database.read((session) =>
    session.rows(
      `SELECT ${API_KEY_COLUMNS} FROM ${session.tables.keys}
       WHERE id = $1::bigint AND ($2::text IS NULL OR user_id::text = $2)`,
      [id, owner],
    ),
  );
  return rows[0] ? apiKeyFromRow(rows[0]) : null;
}
