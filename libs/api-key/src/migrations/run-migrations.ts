import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource, MigrationExecutor, type QueryRunner } from 'typeorm';

/** Key of the advisory lock; any number will do that nobody else is likely to take. */
const LOCK = '4706327181153905';
const POLL_MS = 100;

/** What `pg` does not type of its client: the limit on the wait for an answer, which it reads anew for each query. */
interface PgClient {
  readonly connectionParameters?: { query_timeout?: unknown };
  end(): Promise<void>;
}

/**
 * Runs the pending migrations of a data source, each in its own transaction, behind an advisory lock: any number
 * of instances may call it at once, and one of them migrates. Needs a connection of its own to the primary,
 * so not one through a pooler in transaction mode. It waits for the others, and its statements take, as long as
 * need be, whatever `statement_timeout` and `query_timeout` the data source has.
 * @returns the names of the migrations that this call ran
 */
export async function runMigrations(dataSource: DataSource): Promise<string[]> {
  const runner = dataSource.createQueryRunner('master');
  try {
    return await withoutTimeLimits(runner, async () => {
      await takeLock(runner);
      const executor = new MigrationExecutor(dataSource, runner);
      executor.transaction = 'each';
      const migrations = await executor.executePendingMigrations();
      return migrations.map(({ name }) => name);
    });
  } finally {
    await runner.release();
  }
}

/** Runs a step without time limits and gives its limits and locks back, or hangs up: the pool gets no connection with a trace of it. */
async function withoutTimeLimits<T>(runner: QueryRunner, step: () => Promise<T>): Promise<T> {
  const client: PgClient = await runner.connect();
  const parameters = client.connectionParameters ?? {};
  const { query_timeout: queryTimeout } = parameters;
  const [{ before }] = await runner.query(`SELECT current_setting('statement_timeout') AS before`);
  await runner.query('SET statement_timeout = 0');
  parameters.query_timeout = 0;
  try {
    return await step();
  } finally {
    parameters.query_timeout = queryTimeout;
    await runner
      .query(`SELECT pg_advisory_unlock(${LOCK}), set_config('statement_timeout', $1, false)`, [before])
      .catch(() => client.end());
  }
}

/** Asks again and again: a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY of the one that migrates would wait for that. */
async function takeLock(runner: QueryRunner): Promise<void> {
  for (;;) {
    const [{ taken }] = await runner.query(`SELECT pg_try_advisory_lock(${LOCK}) AS taken`);
    if (taken) return;
    await delay(POLL_MS);
  }
}
