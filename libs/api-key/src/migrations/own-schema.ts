import type { QueryRunner } from 'typeorm';
import { foreignSchema } from '../database/names';

/**
 * Whether a table exists where this data source creates its own.
 * @throws Error where the search path leads to one in another schema: it may be that of another tenant
 */
export async function existsInOwnSchema(runner: QueryRunner, table: string): Promise<boolean> {
  const [found] = await runner.query(
    `SELECT nspname AS schema, current_schema() AS own FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = to_regclass($1)`,
    [table],
  );
  if (found && !table.includes('.') && found.schema !== found.own)
    throw new Error(foreignSchema(found.schema, found.own));
  return found !== undefined;
}
