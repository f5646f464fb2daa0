import { type Eventually, inTime } from '../model/eventually';

/** Longer than a write may wait for a lock, and than a busy database takes. */
const WRITE_TIMEOUT_MS = 10_000;

/**
 * Waits for a write, 10 s at most: one that never settles, for its connection went silent, must hold up neither the next one nor the
 * end of the application.
 * @throws Error where the time is up
 */
export async function writeInTime<T>(write: Eventually<T>): Promise<T> {
  return inTime(WRITE_TIMEOUT_MS, write, () => new Error(`no answer within ${WRITE_TIMEOUT_MS} ms`));
}
