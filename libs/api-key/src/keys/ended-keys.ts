import type { DeriveFields } from '../database/api-key.row';
import { endedKeyFromRow, selectEnded } from '../database/ended-key.row';
import { isUntranslatable } from '../database/store-errors';
import type { ApiKey } from '../model/api-key.entity';
import type { KeyChange } from './key-change';
import { nowIn, settableColumns } from './settable-columns';

/**
 * Reads keys that end or have ended. A column that was dropped or renamed, or a value that cannot
 * be read, is empty, so that it cannot prevent a revocation.
 */
export async function endedKeys(
  { session, table }: Pick<KeyChange, 'session' | 'table'>,
  ids: readonly string[],
  derive: DeriveFields,
): Promise<ApiKey[]> {
  const read = (isBare: boolean) =>
    session.rows(selectEnded(`${table} WHERE id = ANY ($1::bigint[])`, isBare), [ids]);
  await session.run('SAVEPOINT api_key_ended');
  const rows = await read(false).catch(async (error) => {
    // A text may have a character that UTF-8 lacks, and then PostgreSQL sends no row.
    if (!isUntranslatable(error)) throw error;
    await session.run('ROLLBACK TO SAVEPOINT api_key_ended');
    return read(true);
  });
  await session.run('RELEASE SAVEPOINT api_key_ended');
  return rows.map((row) => endedKeyFromRow(row, derive));
}

/** Columns that a revocation sets. Applications that read the table may need the last two. */
const ENDED: Readonly<Record<string, (now: string) => string>> = {
  revoked_at: (now) => now,
  expires_at: (now) => `least(expires_at, ${now})`,
  updated_at: (now) => now,
};

/**
 * Returns the SET of a statement that ends keys, without columns that cannot be set to a time.
 * `revoked_at` is always set, because nothing else ends a key.
 */
export async function endingOf(change: Pick<KeyChange, 'session' | 'table'>): Promise<string> {
  const set = new Map([['revoked_at', 'now()']]);
  const types = await settableColumns(change, Object.keys(ENDED));
  for (const [name, ended] of Object.entries(ENDED)) {
    const now = nowIn(types.get(name));
    if (now !== undefined) set.set(name, ended(now));
  }
  return [...set].map(([name, value]) => `${name} = ${value}`).join(', ');
}
