import type { QueryRunner } from 'typeorm';
import { text, textOrNull } from '../database/fields';
import { foreignSchema } from '../database/names';
import { rows } from './sql';

/**
 * Checks whether a table exists in the schema in which this data source creates tables.
 * @throws Error if the search path finds the table in another schema, which may belong to another
 *   tenant
 */
export async function existsInOwnSchema(runner: QueryRunner, table: string): Promise<boolean> {
  const [found] = await rows(
    runner,
    `SELECT nspname::text AS schema, current_schema()::text AS own FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = to_regclass($1)`,
    [table],
  );
  if (!found) return false;
  const [schema, own] = [text(found, 'schema'), textOrNull(found, 'own')];
  if (!table.includes('.') && schema !== own) throw new Error(foreignSchema(schema, own));
  return true;
}
