import type { ThrottlerStorage } from '@nestjs/throttler';
import { MAX_LIMIT } from '../authority';
import type { Eventually } from '../eventually';
import type { Hit, LimitPolicy } from './sliding-window';

/** What `ThrottlerStorage.increment` answers; `@nestjs/throttler` does not export the name. */
export type ThrottlerRecord = Awaited<ReturnType<ThrottlerStorage['increment']>>;

/**
 * Counts hits in sliding windows. It is a `ThrottlerStorage`, so that it serves `ThrottlerModule` and its guard as well.
 * What one has counted no other one sees, unless both count in the same database.
 */
export abstract class ApiKeyThrottlerStorage implements ThrottlerStorage {
  /**
   * Counts a hit where it fits.
   * @param cost 1 or more, whole
   */
  abstract hit(key: string, policy: LimitPolicy, cost: number): Eventually<Hit>;

  /** What `hit` would answer, where it is known without I/O that it does not fit; else null. Counts nothing. */
  refusalOf(_key: string, _policy: LimitPolicy, _cost: number): Hit | null {
    return null;
  }

  /**
   * For the guard of `@nestjs/throttler`. A limit beyond 1,000,000,000 counts as that. `blockDuration` does not apply: a refused hit passes as soon as the window allows.
   * @param ttl milliseconds
   */
  async increment(
    key: string,
    ttl: number,
    asked: number,
    _blockDuration: number,
    throttlerName: string,
  ): Promise<ThrottlerRecord> {
    const limit = Math.min(asked, MAX_LIMIT);
    const hit = await this.hit(`${throttlerName}:${key}`, { limit, windowMs: ttl }, 1);
    return {
      totalHits: limit - hit.remaining + (hit.passed ? 0 : 1),
      timeToExpire: Math.ceil(hit.resetMs / 1_000),
      isBlocked: !hit.passed,
      timeToBlockExpire: Math.ceil(hit.retryAfterMs / 1_000),
    };
  }
}
