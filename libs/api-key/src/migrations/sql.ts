import type { QueryRunner } from 'typeorm';
import type { Row } from '../database/as-text';
import { codeOf } from '../database/error-codes';
import { flag, text } from '../database/fields';
import { sessionOf } from '../database/session-of';

const LOCK_NOT_AVAILABLE = '55P03';
const LOCK_TIMEOUT_MS = 2_000;
const ATTEMPTS = 10;

/**
 * Milliseconds that a function that counts a hit waits for the lock on its row. After this time, no
 * caller waits for the result, and other requests need the connection.
 */
export const HIT_LOCK_TIMEOUT_MS = 900;

/**
 * Setting of each database function of this library. With this setting, names and operators refer
 * to PostgreSQL's own objects, whatever the search path of the session is. So the functions name
 * each table with its schema.
 */
export const OWN_SEARCH_PATH = 'SET search_path = pg_catalog, pg_temp';

/** Runs a statement on the connection of a query runner. */
export async function run(
  runner: QueryRunner,
  statement: string,
  values: readonly unknown[] = [],
): Promise<void> {
  await (await sessionOf(runner)).run(statement, values);
}

/** Returns the rows of a statement on the connection of a query runner, each column as text. */
export async function rows(
  runner: QueryRunner,
  statement: string,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  return (await sessionOf(runner)).rows(statement, values);
}

/**
 * Returns the first row of a statement on the connection of a query runner.
 * @throws Error if the statement returns no row
 */
export async function row(
  runner: QueryRunner,
  statement: string,
  values: readonly unknown[] = [],
): Promise<Row> {
  return (await sessionOf(runner)).row(statement, values);
}

/** Returns whether a table with this quoted name exists. */
export async function tableExists(runner: QueryRunner, name: string): Promise<boolean> {
  return flag(await row(runner, 'SELECT (to_regclass($1) IS NOT NULL)::text AS made', [name]), 'made');
}

/** Returns whether a function with this name and these argument types exists. */
export async function functionExists(runner: QueryRunner, name: string): Promise<boolean> {
  return flag(await row(runner, 'SELECT (to_regprocedure($1) IS NOT NULL)::text AS made', [name]), 'made');
}

/** Runs a step in the open transaction, or in a new transaction if no transaction is open. */
export async function inTransaction(runner: QueryRunner, step: () => Promise<void>): Promise<void> {
  if (runner.isTransactionActive) return step();
  await runner.startTransaction();
  try {
    await step();
    await runner.commitTransaction();
  } catch (error) {
    await runner.rollbackTransaction();
    throw error;
  }
}

/**
 * Runs a step with a changed session setting in the transaction of the query runner. Then restores
 * the setting.
 */
export async function withSetting(
  runner: QueryRunner,
  [name, value]: readonly [string, string],
  step: () => Promise<unknown>,
): Promise<void> {
  const set = (to: string) => run(runner, 'SELECT set_config($1, $2, true)', [name, to]);
  const before = text(await row(runner, 'SELECT current_setting($1) AS before', [name]), 'before');
  await set(value);
  await step();
  await set(before);
}

/**
 * Runs a statement that needs an exclusive lock on the table, in the transaction of the query
 * runner. Tries up to 10 times. Each attempt waits at most 2 s for the lock, so that other
 * statements are not blocked for long. Other statements can run between two attempts.
 * @throws Error with instructions, if the lock was never free
 */
export async function withShortLock(runner: QueryRunner, statement: string): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    await run(runner, 'SAVEPOINT api_key_lock');
    try {
      await withSetting(runner, ['lock_timeout', String(LOCK_TIMEOUT_MS)], () => run(runner, statement));
      await run(runner, 'RELEASE SAVEPOINT api_key_lock');
      return;
    } catch (error) {
      await run(runner, 'ROLLBACK TO SAVEPOINT api_key_lock');
      if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
    }
  }
  throw new Error(
    `nestjs-api-key: table api_keys stayed locked through ${ATTEMPTS} attempts of ${LOCK_TIMEOUT_MS} ms. ` +
      'End the long transaction that uses it (see pg_stat_activity) and migrate again; nothing was changed.',
  );
}

/**
 * Replaces each name in double braces with its value.
 * @throws Error if a name has no value
 */
export function filledIn(sql: string, values: Readonly<Record<string, string>>): string {
  return sql.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`SQL has no value for ${name}`);
    return value;
  });
}
