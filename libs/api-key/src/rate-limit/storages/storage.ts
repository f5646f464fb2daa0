import type { ThrottlerStorage } from '@nestjs/throttler';
import { MAX_LIMIT } from '../../model/limits';
import type { Hit, LimitPolicy } from './sliding-window';

/** The result of `ThrottlerStorage.increment`. `@nestjs/throttler` does not export the type. */
export type ThrottlerRecord = Awaited<ReturnType<ThrottlerStorage['increment']>>;

/** A key with its own count. The policy may change from hit to hit. */
export interface Bucket {
  readonly key: string;
  readonly policy: LimitPolicy;
}

/**
 * The results of a hit on several buckets, in the order of the buckets. Null if the result is
 * unknown because the bucket did not count the hit.
 */
export type Hits = readonly (Hit | null)[];

/**
 * Counts hits in sliding windows. Implements `ThrottlerStorage`, so that `ThrottlerModule` and its
 * guard can use it too. Two storages share counts only if they use the same database.
 */
export abstract class ApiKeyThrottlerStorage implements ThrottlerStorage {
  /**
   * Counts a hit in all buckets if the hit fits in each of them. Otherwise counts it in none.
   * @param buckets of different keys
   * @param cost a whole number, 1 or more
   */
  abstract hitAll(buckets: readonly Bucket[], cost: number): Hits | Promise<Hits>;

  /**
   * Looks for a refusal that is known without I/O. Counts nothing.
   * @returns the result that `hitAll` would return, or null if no refusal is known
   */
  refusalOf(_buckets: readonly Bucket[], _cost: number): Hits | null {
    return null;
  }

  /**
   * Counts a hit in one bucket if the hit fits.
   * @param cost a whole number, 1 or more
   */
  hit(key: string, policy: LimitPolicy, cost: number): Hit | Promise<Hit> {
    return onlyHit(this.hitAll([{ key, policy }], cost));
  }

  /**
   * For the guard of `@nestjs/throttler`. A limit above 1,000,000,000 is capped at 1,000,000,000.
   * `blockDuration` does not apply: after a refusal, a hit passes as soon as the window allows it.
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
