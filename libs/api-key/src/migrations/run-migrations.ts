import { setTimeout as delay } from 'node:timers/promises';
import {
  type DataSource,
  MigrationExecutor,
  type QueryRunner,
  QueryRunnerAlreadyReleasedError,
} from 'typeorm';
import { codeOf } from '../database/error-codes';
import { flag, text } from '../database/fields';
import { inTransaction, row, rows, run } from './sql';
import { RESTORE, type Restoring } from './triggers';

/** Key of the advisory lock; any number will do that nobody else is likely to take. */
const LOCK = '4706327181153905';
const POLL_MS = 100;
const INSUFFICIENT_PRIVILEGE = '42501';

/** What `pg` does not type of its client: the limit on the wait for an answer, which it reads anew for each query. */
interface PgClient {
  readonly connectionParameters?: { query_timeout?: unknown };
  end(): Promise<void>;
  on(event: 'error', heard: (error: Error) => void): unknown;
  off(event: 'error', heard: (error: Error) => void): unknown;
}

/**
 * Runs the pending migrations of a data source, each in its own transaction, behind an advisory lock: any number
 * of instances may call it at once, and one of them migrates. Needs a connection of its own to the primary,
 * so not one through a pooler in transaction mode. It waits for the others, and its statements take, as long as
 * need be, whatever time-outs the data source has; transactions are READ COMMITTED, and times are written as ISO.
 * The session gets its settings back.
 * Creates triggers of ours that are missing, as on a table that was swapped by rename or restored. Those that somebody
 * disabled stay so.
 * @returns the names of the migrations that this call ran
 */
export async function runMigrations(dataSource: DataSource): Promise<string[]> {
  refuseUnquotable(dataSource);
  const runner = dataSource.createQueryRunner('master');
  try {
    return await withSettings(runner, async () => {
      await takeLock(runner);
      const executor = new MigrationExecutor(dataSource, runner);
      executor.transaction = 'each';
      const migrations = await executor.executePendingMigrations();
      await restore(runner);
      return migrations.map(({ name }) => name);
    });
  } finally {
    await runner.release();
  }
}

/** @throws Error if TypeORM cannot name its own table of migrations in the data source's schema */
function refuseUnquotable({ options }: DataSource): void {
  const { schema } = options as { readonly schema?: string };
  if (!schema || !/[."]/.test(schema)) return;
  throw new Error(
    `ApiKeyModule: TypeORM cannot run migrations in a schema whose name has a dot or a double quote (${schema}): ` +
      'leave "schema" out of the options of the data source that migrates, and set the search_path of its role to that schema.',
  );
}

/**
 * What migrations on record made is made again if it is missing. A role that does not own the table
 * may not, and the application starts all the same: without its triggers nothing is cached.
 */
async function restore(runner: QueryRunner): Promise<void> {
  for (const migration of runner.connection.migrations) {
    if (!(RESTORE in migration)) continue;
    try {
      await inTransaction(runner, () => (migration as Restoring)[RESTORE](runner));
    } catch (error) {
      if (codeOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    }
  }
}

/** Settings of the session while it migrates. Those that the server does not know are left out. */
const SETTINGS: Readonly<Record<string, string>> = {
  statement_timeout: '0',
  transaction_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  default_transaction_isolation: 'read committed',
  // The order of day and month in what is written stays.
  DateStyle: 'ISO',
};

/**
 * Runs a step with settings of its own and gives the session's settings and locks back, or hangs
 * up: the pool gets no connection with a trace of it.
 */
async function withSettings<T>(runner: QueryRunner, step: () => Promise<T>): Promise<T> {
  const client: PgClient = await runner.connect();
  const parameters = client.connectionParameters ?? {};
  const { query_timeout: queryTimeout } = parameters;
  parameters.query_timeout = 0;
  try {
    return await inOwnSettings(
      runner,
      () => withCause(client, step),
      () => client.end(),
    );
  } finally {
    parameters.query_timeout = queryTimeout;
  }
}

/** TypeORM reports a lost connection as "Query runner already released"; PostgreSQL said why. */
async function withCause<T>(client: PgClient, step: () => Promise<T>): Promise<T> {
  let cause: Error | undefined;
  const heard = (error: Error) => {
    cause ??= error;
  };
  client.on('error', heard);
  try {
    return await step();
  } catch (error) {
    if (cause === undefined || !(error instanceof QueryRunnerAlreadyReleasedError)) throw error;
    throw new Error(`ApiKeyModule: the connection was lost during the migrations (${cause.message})`, {
      cause,
    });
  } finally {
    client.off('error', heard);
  }
}

async function inOwnSettings<T>(
  runner: QueryRunner,
  step: () => Promise<T>,
  hangUp: () => Promise<void>,
): Promise<T> {
  const before = await settingsOf(runner);
  try {
    await set(runner, SETTINGS);
    return await step();
  } finally {
    await giveBack(runner, before).catch(hangUp);
  }
}

/** Of those in SETTINGS that the server knows, what they are. */
async function settingsOf(runner: QueryRunner): Promise<Readonly<Record<string, string>>> {
  const known = await rows(
    runner,
    'SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY ($1)',
    [Object.keys(SETTINGS)],
  );
  return Object.fromEntries(known.map((each) => [text(each, 'name'), text(each, 'value')]));
}

function set(runner: QueryRunner, settings: Readonly<Record<string, string>>): Promise<void> {
  return run(
    runner,
    'SELECT set_config(key, value, false) FROM json_each_text($1) WHERE key IN (SELECT name FROM pg_settings)',
    [JSON.stringify(settings)],
  );
}

async function giveBack(runner: QueryRunner, before: Readonly<Record<string, string>>): Promise<void> {
  await run(runner, `SELECT pg_advisory_unlock(${LOCK})::text`);
  await set(runner, before);
}

/** Asks again and again: a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY of the one that migrates would wait for that. */
async function takeLock(runner: QueryRunner): Promise<void> {
  const isTaken = async () =>
    flag(await row(runner, `SELECT pg_try_advisory_lock(${LOCK})::text AS taken`), 'taken');
  while (!(await isTaken())) await delay(POLL_MS);
}
