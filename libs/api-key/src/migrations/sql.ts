import type { QueryRunner } from 'typeorm';
import type { Row } from '../database/as-text';
import { codeOf } from '../database/error-codes';
import { flag, text } from '../database/fields';
import { sessionOf } from '../database/session-of';

const LOCK_NOT_AVAILABLE = '55P03';
const LOCK_TIMEOUT_MS = 2_000;
const ATTEMPTS = 10;

/**
 * How long a function that counts a hit waits for its row, in milliseconds. After that time no
 * caller waits for the result, and others need the connection.
 */
export const HIT_LOCK_TIMEOUT_MS = 900;

/**
 * Setting of each function of this library. Names and operators are those of PostgreSQL, with any
 * search path of the calling session. Functions name tables with their schema.
 */
export const OWN_SEARCH_PATH = 'SET search_path = pg_catalog, pg_temp';

/** Runs a statement on the connection of a runner. */
export async function run(
  runner: QueryRunner,
  statement: string,
  values: readonly unknown[] = [],
): Promise<void> {
  await (await sessionOf(runner)).run(statement, values);
}

/** The rows of a statement on the connection of a runner, each column as text. */
export async function rows(
  runner: QueryRunner,
  statement: string,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  return (await sessionOf(runner)).rows(statement, values);
}

/**
 * The first row of a statement on the connection of a runner.
 * @throws Error if there is no row
 */
export async function row(
  runner: QueryRunner,
  statement: string,
  values: readonly unknown[] = [],
): Promise<Row> {
  return (await sessionOf(runner)).row(statement, values);
}

/** Whether a table of this quoted name exists. */
export async function tableExists(runner: QueryRunner, name: string): Promise<boolean> {
  return flag(await row(runner, 'SELECT (to_regclass($1) IS NOT NULL)::text AS made', [name]), 'made');
}

/** Whether a function of this name and these argument types exists. */
export async function functionExists(runner: QueryRunner, name: string): Promise<boolean> {
  return flag(await row(runner, 'SELECT (to_regprocedure($1) IS NOT NULL)::text AS made', [name]), 'made');
}

/** Runs a step in the open transaction or, if none is open, in a new transaction. */
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
 * Runs a step with a changed setting of the session, in the transaction of the runner. Then
 * restores the setting.
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
 * Runs a statement that needs an exclusive lock on the table, in the transaction of the runner.
 * Each attempt waits at most 2 s for the lock, so that other statements are not blocked for long.
 * Then other statements run, and the next attempt follows. There are at most 10 attempts.
 * @throws Error that says what to do, if the lock was never free
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
 * Replaces names in double braces with their values.
 * @throws Error if a name has no value
 */
export function filledIn(sql: string, values: Readonly<Record<string, string>>): string {
  return sql.replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`SQL has no value for ${name}`);
    return value;
  });
}
