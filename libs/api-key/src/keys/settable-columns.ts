import { text } from '../database/fields';
import type { KeyChange } from './key-change';

type Table = Pick<KeyChange, 'session' | 'table'>;

/**
 * Returns the types of those of some columns that a statement can set, in the order of the table.
 * The type of a column of a domain is the type that the domain has.
 */
export async function settableColumns(
  { session, table }: Table,
  names: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const rows = await session.rows(
    `SELECT a.attname AS name, t.typname AS type FROM pg_attribute a JOIN pg_type own ON own.oid = a.atttypid
       JOIN pg_type t ON t.oid = coalesce(nullif(own.typbasetype, 0), own.oid)
     WHERE a.attrelid = $1::regclass AND a.attname = ANY ($2) AND a.attgenerated = ''
       AND t.typnamespace = 'pg_catalog'::regnamespace ORDER BY a.attnum`,
    [table, names],
  );
  return new Map(rows.map((row) => [text(row, 'name'), text(row, 'type')]));
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

/** SQL of the present for a column of a type; undefined if the column stores no times. */
export function nowIn(type: string | undefined): string | undefined {
  return type === undefined ? undefined : NOW[type];
}
