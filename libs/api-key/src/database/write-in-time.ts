import { inTime } from './deadline';

/** Longer than a write may wait for a lock, and longer than a busy database needs. */
const WRITE_TIMEOUT_MS = 10_000;

/**
 * Waits for a write, 10 s at most. If the connection went silent, the write never settles. Such a
 * write must not block the next write or the shutdown.
 * @throws Error if the write has not settled in time
 */
export function writeInTime<T>(write: T | PromiseLike<T>): Promise<T> {
  const late = () => new Error(`no answer within ${WRITE_TIMEOUT_MS} ms`);
  return inTime(WRITE_TIMEOUT_MS, Promise.resolve(write), late);
}
