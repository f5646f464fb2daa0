import type { QueryRunner } from 'typeorm';
import { text } from '../database/fields';
import { quoteIn } from '../database/names';
import { row } from './sql';

/** The quoted name of the table of keys, with a schema if the data source names one. */
export function tableOf(runner: QueryRunner): string {
  return quoted(runner, 'api_keys');
}

/** The quoted name of the table of the audit trail, in the same schema. */
export function eventTableOf(runner: QueryRunner): string {
  return quoted(runner, 'api_key_events');
}

/** The quoted name of another table or function of this library, in the same schema. */
export function besideTable(runner: QueryRunner, name: string): string {
  return quoted(runner, name);
}

/**
 * The quoted schema of the table of keys. A session that fires a trigger may have another search
 * path.
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
 * The quoted name of a table or function of this library. The name always has a schema, even if the
 * data source names none.
 */
export async function qualifiedName(runner: QueryRunner, name: string): Promise<string> {
  return `${await schemaOfKeys(runner)}.${name}`;
}

function quoted({ connection }: QueryRunner, name: string): string {
  const { schema } = connection.options as { schema?: string };
  return quoteIn(schema || null, name);
}
