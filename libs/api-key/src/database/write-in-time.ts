import { inTime } from './deadline';

/** Longer than a write may wait for a lock, and than a busy database takes. */
const WRITE_TIMEOUT_MS = 10_000;

/**
 * Waits for a write, 10 s at most: one that never settles, because its connection went silent, must
 * hold up neither the next one nor the end of the application.
 * @throws Error if the time is up
 */
export function writeInTime<T>(write: T | PromiseLike<T>): Promise<T> {
  const late = () => new Error(`no answer within ${WRITE_TIMEOUT_MS} ms`);
  return inTime(WRITE_TIMEOUT_MS, Promise.resolve(write), late);
}
