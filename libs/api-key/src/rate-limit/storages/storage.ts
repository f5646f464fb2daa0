import type { ThrottlerStorage } from '@nestjs/throttler';
import { MAX_LIMIT } from '../../model/limits';
import type { Hit, LimitPolicy } from './sliding-window';

/** What `ThrottlerStorage.increment` answers; `@nestjs/throttler` does not export the name. */
export type ThrottlerRecord = Awaited<ReturnType<ThrottlerStorage['increment']>>;

/** What is counted together, under a policy that may change from hit to hit. */
export interface Bucket {
  readonly key: string;
  readonly policy: LimitPolicy;
}

/**
 * What became of a hit on several buckets, in their order; null: not known, because the hit was not
 * counted there.
 */
export type Hits = readonly (Hit | null)[];

/**
 * Counts hits in sliding windows. It is a `ThrottlerStorage`, so that it serves `ThrottlerModule` and its guard as well.
 * What one has counted no other one sees, unless both count in the same database.
 */
export abstract class ApiKeyThrottlerStorage implements ThrottlerStorage {
  /**
   * Counts a hit in all of several buckets if it fits in each of them, else in none.
   * @param buckets of different keys
   * @param cost 1 or more, whole
   */
  abstract hitAll(buckets: readonly Bucket[], cost: number): Hits | Promise<Hits>;

  /**
   * What `hitAll` would return, if it is known without I/O that the hit does not fit; else null.
   * Counts nothing.
   */
  refusalOf(_buckets: readonly Bucket[], _cost: number): Hits | null {
    return null;
  }

  /**
   * Counts a hit in one bucket if it fits.
   * @param cost 1 or more, whole
   */
  hit(key: string, policy: LimitPolicy, cost: number): Hit | Promise<Hit> {
    return onlyHit(this.hitAll([{ key, policy }], cost));
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

async function onlyHit(hits: Hits | Promise<Hits>): Promise<Hit> {
  const [hit] = await hits;
  return hit as Hit;
}
