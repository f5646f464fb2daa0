import type { QueryRunner } from 'typeorm';
import { text } from '../database/fields';
import { objectName } from '../database/keys-table';
import { quoteIfNeeded } from '../database/names';
import { migratedTables } from '../database/session-of';
import { row } from './sql';

/** Returns the qualified SQL name of an object of the library, by its name beside `api_keys`. */
export type Qualify = (object: string) => string;

/**
 * Returns the quoted name of the table of keys, with a schema if the data source names a schema.
 */
export function tableOf(runner: QueryRunner): string {
  return migratedTables(runner).keys;
}

/** Returns the quoted name of the table of the audit trail, in the schema of the table of keys. */
export function eventTableOf(runner: QueryRunner): string {
  return migratedTables(runner).events;
}

/**
 * Returns the quoted name of another table, function or index of this library, in the schema of the
 * table of keys.
 * @param object its name beside a table `api_keys`
 */
export function besideTable(runner: QueryRunner, object: string): string {
  return migratedTables(runner).beside(object);
}

/** Returns the name of an index or trigger of this library, which takes no schema. */
export function nameOf(runner: QueryRunner, object: string): string {
  return quoteIfNeeded(objectName(migratedTables(runner).name, object));
}

/**
 * Returns a function that names objects with the schema of the table of keys. Bodies of functions
 * need this schema, because a session that fires a trigger may have another search path.
 */
export async function qualifier(runner: QueryRunner): Promise<Qualify> {
  const found = await row(
    runner,
    `SELECT format('%I', nspname) AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::regclass`,
    [tableOf(runner)],
  );
  const schema = text(found, 'schema');
  return (object) => `${schema}.${nameOf(runner, object)}`;
}

/** Returns the qualified name of one table or function of this library. */
export async function qualifiedName(runner: QueryRunner, object: string): Promise<string> {
  return (await qualifier(runner))(object);
}
