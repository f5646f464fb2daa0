import { isQuota, isRateLimit } from '../keys/input';
import { MAX_WINDOW_SECONDS, type SharedLimit } from './authority';

/**
 * What stands for a limit that cannot be read, as a hand may write: it allows nothing, for what it
 * allowed is unknown.
 */
const NOTHING: SharedLimit = {
  id: '0',
  rateLimit: { limit: 0, windowSeconds: MAX_WINDOW_SECONDS },
  quota: { limit: 0, period: 'month' },
};

/** The shared limits of a row; NULL is none. */
export function sharedLimitsOrNone(value: unknown): SharedLimit[] | null {
  if (value === null || value === undefined) return null;
  return Array.isArray(value) ? value.map((limit) => (isSharedLimit(limit) ? limit : NOTHING)) : [NOTHING];
}

function isSharedLimit(value: unknown): value is SharedLimit {
  const { id, rateLimit, quota } = Object(value) as Partial<SharedLimit>;
  return (
    typeof id === 'string' &&
    (rateLimit === null || isRateLimit(rateLimit)) &&
    (quota === null || isQuota(quota))
  );
}
