import type { Database } from './database';
import type { Session } from './session';
import { writeInTime } from './write-in-time';

/** How long a write waits for what someone holds locked, so that a shutdown does not. */
const LOCK_TIMEOUT_MS = 1_000;
/** PostgreSQL ends a write before it is given up here, so that what is tried again was not made. */
const END_AFTER_MS = 9_000;

/**
 * A transaction of a write in the background, which waits for nobody for long.
 * @throws Error if it fails, or has not ended after 10 s
 */
export async function briefTransaction<T>(
  database: Database,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  return writeInTime(
    database.transaction(work, { lockTimeoutMs: LOCK_TIMEOUT_MS, deadlineMs: END_AFTER_MS }),
  );
}
