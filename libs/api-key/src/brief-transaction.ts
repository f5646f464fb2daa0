import type { DataSource, EntityManager } from 'typeorm';
import { writeInTime } from './write-in-time';

/** How long a write waits for what someone holds locked, so that a shutdown does not. */
const LOCK_TIMEOUT_MS = 1_000;
/** PostgreSQL ends a write before it is given up here, so that what is tried again was not made. */
const END_AFTER_MS = 9_000;

/**
 * A transaction of a write in the background, which waits for nobody for long.
 * @throws Error where it fails, or has not ended after 10 s
 */
export async function briefTransaction<T>(
  dataSource: DataSource,
  work: (manager: EntityManager) => Promise<T>,
): Promise<T> {
  const endsAt = performance.now() + END_AFTER_MS;
  const written = dataSource.transaction(async (manager) => {
    const leftMs = Math.floor(endsAt - performance.now());
    if (leftMs <= 0) throw new Error(`no connection within ${END_AFTER_MS} ms`);
    await manager.query(
      `SET LOCAL lock_timeout = '${LOCK_TIMEOUT_MS}ms'; SET LOCAL statement_timeout = '${leftMs}ms'`,
    );
    return work(manager);
  });
  return writeInTime(written);
}
