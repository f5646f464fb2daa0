import type { Database } from './database';
import type { Session } from './session';
import { writeInTime } from './write-in-time';

/**
 * Maximum milliseconds to wait for a lock. The wait is short, so that a lock does not delay the
 * shutdown.
 */
const LOCK_TIMEOUT_MS = 1_000;
/**
 * Milliseconds after which PostgreSQL cancels the write. This process gives up later, so that a
 * retry does not write twice.
 */
const END_AFTER_MS = 9_000;

/**
 * Runs a background write in a transaction with short time limits.
 * @throws Error if the write fails, or has not ended after 10 s
 */
export async function briefTransaction<T>(
  database: Database,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  return writeInTime(
    database.transaction(work, { lockTimeoutMs: LOCK_TIMEOUT_MS, deadlineMs: END_AFTER_MS }),
  );
}
