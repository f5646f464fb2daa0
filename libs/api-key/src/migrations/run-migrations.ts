import { setTimeout as delay } from 'node:timers/promises';
import { type DataSource, MigrationExecutor, type QueryRunner } from 'typeorm';

/** Key of the advisory lock; any number will do that nobody else is likely to take. */
const LOCK = '4706327181153905';
const POLL_MS = 100;

/**
 * Runs the pending migrations of a data source, each in its own transaction, behind an advisory lock: any number
 * of instances may call it at once, and one of them migrates. Needs a connection of its own to the primary,
 * so not one through a pooler in transaction mode. It waits for the others however long they take, whatever
 * `statement_timeout` the data source has.
 * @returns the names of the migrations that this call ran
 */
export async function runMigrations(dataSource: DataSource): Promise<string[]> {
  const runner = dataSource.createQueryRunner('master');
  try {
    await runner.query('SET statement_timeout = 0');
    await takeLock(runner);
    const executor = new MigrationExecutor(dataSource, runner);
    executor.transaction = 'each';
    const migrations = await executor.executePendingMigrations();
    return migrations.map(({ name }) => name);
  } finally {
    await runner.query(`SELECT pg_advisory_unlock(${LOCK}); RESET statement_timeout`).catch(() => undefined);
    await runner.release();
  }
}

/** Asks again and again, for a statement that waits would run into the client's own time limit. */
async function takeLock(runner: QueryRunner): Promise<void> {
  for (;;) {
    const [{ taken }] = await runner.query(`SELECT pg_try_advisory_lock(${LOCK}) AS taken`);
    if (taken) return;
    await delay(POLL_MS);
  }
}
