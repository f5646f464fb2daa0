import { until } from './until';

const DAY_MS = 86_400_000;
/** Shorter than the timeout of `until`, and longer than a test. */
const NEAR_MS = 20_000;

/** Waits if a new UTC day is about to begin, because each quota starts anew at midnight. */
export function awayFromMidnight(): Promise<void> {
  return until(() => DAY_MS - (Date.now() % DAY_MS) > NEAR_MS);
}
