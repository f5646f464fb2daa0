import type { DeriveFields } from '../database/api-key.row';
import { endedKeyFromRow, selectEnded } from '../database/ended-key.row';
import { text } from '../database/fields';
import { isUntranslatable } from '../database/store-errors';
import type { ApiKey } from '../model/api-key.entity';
import type { KeyChange } from './key-change';

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

/** Not by the name UTC, which a session may give to another zone: `TimeZone = 'UTC-14'`. */
const UTC = "timezone(interval '0', now())";
/**
 * The present, by the type of the column that stores it. A time without a time zone is in UTC, as
 * in Rails, whatever time zone the session has.
 */
const NOW: Readonly<Record<string, string>> = {
  timestamptz: 'now()',
  timestamp: UTC,
  date: UTC,
};
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
export async function endingOf({ session, table }: Pick<KeyChange, 'session' | 'table'>): Promise<string> {
  const rows = await session.rows(
    `SELECT a.attname AS name, t.typname AS type FROM pg_attribute a JOIN pg_type own ON own.oid = a.atttypid
       JOIN pg_type t ON t.oid = coalesce(nullif(own.typbasetype, 0), own.oid)
     WHERE a.attrelid = $1::regclass AND a.attname = ANY ($2) AND a.attgenerated = ''
       AND t.oid = ANY ($3::regtype[]) ORDER BY a.attnum`,
    [table, Object.keys(ENDED), Object.keys(NOW)],
  );
  const set = new Map([['revoked_at', 'now()']]);
  for (const row of rows) {
    const [name, type] = [text(row, 'name'), text(row, 'type')];
    set.set(name, ENDED[name]?.(NOW[type] ?? '') ?? '');
  }
  return [...set].map(([name, value]) => `${name} = ${value}`).join(', ');
}
