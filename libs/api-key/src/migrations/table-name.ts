import type { QueryRunner } from 'typeorm';
import { text } from '../database/fields';
import { quoteIn } from '../database/names';
import { row } from './sql';

/** The table of keys, quoted, in the schema of the data source where it names one. */
export function tableOf(runner: QueryRunner): string {
  return quoted(runner, 'api_keys');
}

/** The table of the trail, beside that of the keys. */
export function eventTableOf(runner: QueryRunner): string {
  return quoted(runner, 'api_key_events');
}

/** Anything else of ours in the same schema. */
export function besideTable(runner: QueryRunner, name: string): string {
  return quoted(runner, name);
}

/**
 * The schema that the table of keys lies in, quoted; the search path of a session that fires a
 * trigger may lead elsewhere.
 */
export async function schemaOfKeys(runner: QueryRunner): Promise<string> {
  const found = await row(
    runner,
    `SELECT format('%I', nspname) AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::regclass`,
    [tableOf(runner)],
  );
  return text(found, 'schema');
}

/** The quoted name of anything of ours, with its schema whatever the data source names. */
export async function qualifiedName(runner: QueryRunner, name: string): Promise<string> {
  return `${await schemaOfKeys(runner)}.${name}`;
}

function quoted({ connection }: QueryRunner, name: string): string {
  const { schema } = connection.options as { schema?: string };
  return quoteIn(schema || null, name);
}
