import { inTime } from './deadline';

/**
 * Milliseconds to wait for a write: longer than a write may wait for a lock, and longer than a busy
 * database takes.
 */
const WRITE_TIMEOUT_MS = 10_000;

/**
 * Waits for a write for at most 10 s. If the connection no longer answers, the write never settles.
 * Such a write must not block the next write or the shutdown.
 * @throws Error if the write has not settled in time
 */
export function writeInTime<T>(write: T | PromiseLike<T>): Promise<T> {
  const late = () => new Error(`no answer within ${WRITE_TIMEOUT_MS} ms`);
  return inTime(WRITE_TIMEOUT_MS, Promise.resolve(write), late);
}
