import type { QueryRunner } from 'typeorm';
import { flag, json } from '../database/fields';
import { existsInOwnSchema } from './own-schema';
import { row, withShortLock } from './sql';

/**
 * Column types by column name. Each column is nullable or has a default, because Rails inserts rows
 * without these columns.
 */
export type Columns = Readonly<Record<string, string>>;

/**
 * Adds columns to the table of keys.
 * @param beside the quoted name of a table that is created with the columns, or null
 * @returns false if all columns and the table already exist: another application on this database
 *   has run the migration
 * @throws Error if only some of the columns and the table exist, because another program created
 *   the existing ones
 */
export async function addColumns(
  runner: QueryRunner,
  table: string,
  columns: Columns,
  beside: string | null,
): Promise<boolean> {
  await existsInOwnSchema(runner, table);
  const names = Object.keys(columns);
  const found = await row(
    runner,
    `SELECT to_json(ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attname = ANY ($2) AND NOT attisdropped))::text AS present,
       (to_regclass($3) IS NOT NULL)::text AS made`,
    [table, names, beside],
  );
  const present = json(found, 'present') as string[];
  const made = flag(found, 'made');
  const hasAll = present.length === names.length;
  if (hasAll && (made || beside === null)) return false;
  if (made || present.length > 0) refuse([...present, ...(made ? [String(beside).replaceAll('"', '')] : [])]);
  const added = Object.entries(columns).map(([name, type]) => `ADD COLUMN ${name} ${type}`);
  await withShortLock(runner, `ALTER TABLE ${table} ${added.join(', ')}`);
  return true;
}

/** Drops columns from the table of keys. */
export async function dropColumns(runner: QueryRunner, table: string, columns: Columns): Promise<void> {
  const drops = Object.keys(columns).map((name) => `DROP COLUMN ${name}`);
  await withShortLock(runner, `ALTER TABLE ${table} ${drops.join(', ')}`);
}

function refuse(present: readonly string[]): never {
  throw new Error(
    `nestjs-api-key: ${present.join(', ')} already exists and was not created by this library, so the table cannot be extended. ` +
      'Rename it, and migrate again; nothing was changed.',
  );
}
