import { endedKeyFromRow, selectEnded } from '../database/ended-key.row';
import { text } from '../database/fields';
import type { ApiKey } from '../model/api-key.entity';
import type { KeyChange } from './key-change';

/**
 * Reads keys that end or have ended. A column that was dropped or renamed, or a value that cannot be
 * read, is empty, so that it cannot prevent a revocation.
 */
export async function endedKeys(
  { session, table }: Pick<KeyChange, 'session' | 'table'>,
  ids: readonly string[],
): Promise<ApiKey[]> {
  const rows = await session.rows(selectEnded(`${table} WHERE id = ANY ($1::bigint[])`), [ids]);
  return rows.map(endedKeyFromRow);
}

/** Other columns that a revocation sets, for applications that read the table. */
const ENDED = { expires_at: 'least(expires_at, now())', updated_at: 'now()' } as const;

/** Returns the SET of a statement that ends keys, without columns that are missing or hold no time. */
export async function endingOf({ session, table }: Pick<KeyChange, 'session' | 'table'>): Promise<string> {
  const rows = await session.rows(
    `SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attname = ANY ($2) AND NOT attisdropped
       AND atttypid = ANY ('{timestamptz,timestamp,date}'::regtype[])`,
    [table, Object.keys(ENDED)],
  );
  const names = rows.map((row) => text(row, 'attname'));
  const others = Object.entries(ENDED).filter(([name]) => names.includes(name));
  return ['revoked_at = now()', ...others.map(([name, value]) => `${name} = ${value}`)].join(', ');
}
