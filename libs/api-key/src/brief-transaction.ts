import type { DataSource, EntityManager } from 'typeorm';

/** How long a write waits for what someone holds locked, so that a shutdown does not. */
const LOCK_TIMEOUT_MS = 1_000;
/** PostgreSQL ends a statement before the write is given up here, so that what is tried again was not made. */
const STATEMENT_TIMEOUT_MS = 9_000;

/** A transaction of a write in the background, which waits for nobody for long. */
export function briefTransaction<T>(
  dataSource: DataSource,
  work: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  return dataSource.transaction(async (manager) => {
    await manager.query(
      `SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms'; SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT_MS}ms'`,
    );
    return work(manager);
  });
}
