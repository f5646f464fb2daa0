import type { QueryRunner } from 'typeorm';
import { existsInOwnSchema } from './own-schema';
import { withShortLock } from './sql';

/** Columns by name, each with its type: nullable or with a default, so that Rails keeps inserting. */
export type Columns = Readonly<Record<string, string>>;

/**
 * Adds columns to the table of keys, and says whether it did: where all of them and a table beside them are there, another
 * application on this database has migrated before.
 * @param beside the quoted name of a table that is made together with them
 * @throws Error where some of it is there: it is someone else's
 */
export async function addColumns(
  runner: QueryRunner,
  table: string,
  columns: Columns,
  beside: string,
): Promise<boolean> {
  await existsInOwnSchema(runner, table);
  const names = Object.keys(columns);
  const [{ present, made }] = await runner.query(
    `SELECT ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attname = ANY ($2) AND NOT attisdropped) AS present,
       to_regclass($3) IS NOT NULL AS made`,
    [table, names, beside],
  );
  if (made && present.length === names.length) return false;
  if (made || present.length > 0) refuse([...present, ...(made ? [beside.replaceAll('"', '')] : [])]);
  const added = Object.entries(columns).map(([name, type]) => `ADD COLUMN ${name} ${type}`);
  await withShortLock(runner, `ALTER TABLE ${table} ${added.join(', ')}`);
  return true;
}

/** Takes them away again. */
export async function dropColumns(runner: QueryRunner, table: string, columns: Columns): Promise<void> {
  const drops = Object.keys(columns).map((name) => `DROP COLUMN ${name}`);
  await withShortLock(runner, `ALTER TABLE ${table} ${drops.join(', ')}`);
}

function refuse(present: readonly string[]): never {
  throw new Error(
    `nestjs-api-key: ${present.join(', ')} of someone else is there already, so the table cannot be extended. ` +
      'Rename it, and migrate again; nothing was changed.',
  );
}
