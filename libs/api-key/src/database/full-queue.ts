import { codeOf } from './error-codes';
import type { Session } from './session';

const PROGRAM_LIMIT_EXCEEDED = '54000';

/** Error message for a full notification queue. */
export const FULL_QUEUE =
  'the notification queue of PostgreSQL is full: end the session that listens inside an open transaction; it has the oldest xact_start in pg_stat_activity';

/** Returns whether a commit failed because PostgreSQL's notification queue is full. */
export function isFullQueue(error: unknown): boolean {
  return codeOf(error) === PROGRAM_LIMIT_EXCEEDED;
}

type Work<T> = (session: Session) => Promise<T>;

/**
 * Makes a change. If the notification queue is full at the commit, makes the whole change again
 * without notifications. Every instance detects a change without notification at its next
 * heartbeat.
 * @param transact runs the work in a transaction of its own
 */
export async function despiteFullQueue<T>(
  transact: (work: Work<T>) => Promise<T>,
  work: Work<T>,
): Promise<T> {
  try {
    return await transact(work);
  } catch (error) {
    if (!isFullQueue(error)) throw error;
    return transact(async (session) => {
      await session.run(`SET LOCAL nestjs_api_key.silent = 'on'`);
      return work(session);
    });
  }
}
