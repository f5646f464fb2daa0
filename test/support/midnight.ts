import { until } from './until';

const DAY_MS = 86_400_000;
/** Less than `until` waits, and more than a test takes. */
const NEAR_MS = 20_000;

/** Waits where a new day of UTC is about to begin, which would begin each quota anew. */
export function awayFromMidnight(): Promise<void> {
  return until(() => DAY_MS - (Date.now() % DAY_MS) > NEAR_MS);
}
