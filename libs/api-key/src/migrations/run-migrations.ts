import { type DataSource, MigrationExecutor, type QueryRunner } from 'typeorm';
import { codeOf } from '../database/error-codes';
import { text } from '../database/fields';
import { wordsOf } from '../model/error-words';
import { releaseLock, takeLock } from './migration-lock';
import { refuseSharedSession } from './shared-session';
import { inTransaction, rows, run } from './sql';
import { RESTORE, type Restoring } from './triggers';

const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Members of a `pg` client that are missing in its types. The client reads `query_timeout`, the
 * limit on the wait for a result, before each query.
 */
interface PgClient {
  readonly connectionParameters?: { query_timeout?: unknown };
  end(): Promise<void>;
  on(event: 'error', heard: (error: Error) => void): unknown;
  off(event: 'error', heard: (error: Error) => void): unknown;
}

/**
 * Runs the pending migrations of a data source, each in its own transaction. Several instances may
 * call this function at once. An advisory lock lets one instance migrate while the others wait. The
 * time-outs of the data source do not apply to the lock and to the statements. Transactions are
 * READ COMMITTED, and times are written as ISO. Afterwards, the settings of the session are
 * restored.
 *
 * Needs a session of its own on the primary. Refuses a pooler in transaction mode.
 *
 * Also creates missing triggers of this library, for example after a table was swapped by rename or
 * restored. A trigger that somebody disabled stays disabled.
 * @returns the names of the migrations that this call ran
 * @throws Error if a migration failed, or if a pooler in transaction mode shares the session
 */
export async function runMigrations(dataSource: DataSource): Promise<string[]> {
  refuseUnquotable(dataSource);
  const runner = dataSource.createQueryRunner('master');
  try {
    await refuseSharedSession(runner);
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

/**
 * Checks that TypeORM can quote the name of its migrations table.
 * @throws Error if the name of the data source's schema contains a dot or a double quote
 */
function refuseUnquotable({ options }: DataSource): void {
  const { schema } = options as { readonly schema?: string };
  if (!schema || !/[."]/.test(schema)) return;
  throw new Error(
    `ApiKeyModule: TypeORM cannot run migrations in a schema whose name has a dot or a double quote (${schema}): ` +
      'remove "schema" from the options of the data source for migrations, and set the search_path of its role to that schema.',
  );
}

/**
 * Restores missing objects that already executed migrations had created. PostgreSQL refuses this if
 * the role does not own the table. The application starts nevertheless, because without the
 * triggers nothing is cached.
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

/**
 * Settings of the session during the migrations. A setting that the server does not know is
 * skipped.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  statement_timeout: '0',
  transaction_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  default_transaction_isolation: 'read committed',
  // ISO changes only the output format. The order of day and month in input is unchanged.
  DateStyle: 'ISO',
};

/**
 * Runs a step with other session settings. Then restores the settings and releases the lock. If
 * this fails, closes the connection, so that the pool never gets a session with changed settings.
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

/**
 * Runs a step, and adds PostgreSQL's error to an error of a lost connection. TypeORM reports a lost
 * connection only as "Query runner already released".
 */
async function withCause<T>(client: PgClient, step: () => Promise<T>): Promise<T> {
  let cause: Error | undefined;
  const heard = (error: Error) => {
    cause ??= error;
  };
  client.on('error', heard);
  try {
    return await step();
  } catch (error) {
    if (cause === undefined || !/already released/.test(wordsOf(error))) throw error;
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

/** Returns the current values of SETTINGS. A setting that the server does not know is skipped. */
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
  await releaseLock(runner);
  await set(runner, before);
}
