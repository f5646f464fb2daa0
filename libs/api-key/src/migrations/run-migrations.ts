import { type DataSource, MigrationExecutor } from 'typeorm';

/** Key of the advisory lock; any number will do that nobody else is likely to take. */
const LOCK = '4706327181153905';

/**
 * Runs the pending migrations of a data source, each in its own transaction, behind an advisory lock: any number
 * of instances may call it at once, and one of them migrates. Needs a connection of its own to the primary,
 * so not one through a pooler in transaction mode.
 * @returns the names of the migrations that this call ran
 */
export async function runMigrations(dataSource: DataSource): Promise<string[]> {
  const runner = dataSource.createQueryRunner('master');
  try {
    await runner.query(`SELECT pg_advisory_lock(${LOCK})`);
    const executor = new MigrationExecutor(dataSource, runner);
    executor.transaction = 'each';
    const migrations = await executor.executePendingMigrations();
    return migrations.map(({ name }) => name);
  } finally {
    await runner.query(`SELECT pg_advisory_unlock(${LOCK})`).catch(() => undefined);
    await runner.release();
  }
}
