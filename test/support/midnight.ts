import { until } from './until';

const DAY_MS = 86_400_000;
/**
 * Milliseconds before midnight (UTC) in which no test of a quota starts. Shorter than the timeout
 * of `until`, and longer than a test.
 */
const NEAR_MS = 20_000;

/** Waits until midnight if a new UTC day is about to begin. All quotas start again at midnight. */
export function awayFromMidnight(): Promise<void> {
  return until(() => DAY_MS - (Date.now() % DAY_MS) > NEAR_MS);
}
