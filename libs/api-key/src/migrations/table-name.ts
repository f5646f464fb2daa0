import type { QueryRunner } from 'typeorm';
import { text } from '../database/fields';
import { quoteIn } from '../database/names';
import { row } from './sql';

/**
 * Returns the quoted name of the table of keys, with a schema if the data source names a schema.
 */
export function tableOf(runner: QueryRunner): string {
  return quoted(runner, 'api_keys');
}

/** Returns the quoted name of the table of the audit trail, in the schema of the table of keys. */
export function eventTableOf(runner: QueryRunner): string {
  return quoted(runner, 'api_key_events');
}

/**
 * Returns the quoted name of another table or function of this library, in the schema of the table
 * of keys.
 */
export function besideTable(runner: QueryRunner, name: string): string {
  return quoted(runner, name);
}

/**
 * Returns the quoted schema of the table of keys. Names need this schema, because a session that
 * fires a trigger may have another search path.
 */
export async function schemaOfKeys(runner: QueryRunner): Promise<string> {
  const found = await row(
    runner,
    `SELECT format('%I', nspname) AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::regclass`,
    [tableOf(runner)],
  );
  return text(found, 'schema');
}

/**
 * Returns the quoted name of a table or function of this library. The name always contains a
 * schema, even if the data source names no schema.
 */
export async function qualifiedName(runner: QueryRunner, name: string): Promise<string> {
  return `${await schemaOfKeys(runner)}.${name}`;
}

function quoted({ connection }: QueryRunner, name: string): string {
  const { schema } = connection.options as { schema?: string };
  return quoteIn(schema || null, name);
}
