import { setImmediate as nextTurn } from 'node:timers/promises';
import { Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { ThrottlerStorage } from '@nestjs/throttler';
import { inTime } from '../database/deadline';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { wordsOf } from '../model/error-words';
import type { StorageFailurePolicy } from '../options/rate-limit';
import { MemoryQuotaStorage } from './storages/memory-quota-storage';
import { MemoryThrottlerStorage } from './storages/memory-storage';
import type { QuotaStorage } from './storages/quota-storage';
import { SharedThrottlerStorage, TooManyWaiting } from './storages/shared-storage';
import type { Hit } from './storages/sliding-window';
import { ApiKeyThrottlerStorage, type Bucket, type Hits } from './storages/storage';

/** How the limiter asks its storage. */
export interface LimiterOptions {
  readonly onStorageFailure: StorageFailurePolicy;
  /** Milliseconds after which the storage has failed. */
  readonly storageTimeoutMs: number;
  /** Keys that are counted in memory. */
  readonly maxKeys: number;
}

/** Counts at once, in memory. */
interface LocalStorage extends ApiKeyThrottlerStorage {
  hitAll(buckets: readonly Bucket[], cost: number): Hits;
  atLeast(bucket: Bucket, used: number): void;
}

/** One hit that a storage is asked for. */
interface Asking {
  readonly buckets: readonly Bucket[];
  readonly cost: number;
  readonly since: number;
  isLate: boolean;
}

/** How long a storage that failed is left alone before one hit tries it again. */
const RETRY_MS = 200;
const NONE: Hits = [];

/**
 * Counts hits in a storage that can fail: then, by policy, in memory, not at all, or they are
 * refused; and tries again by itself with one hit at a time. A hit that fails while others are
 * answered is the trouble of its own key, and of no other. What the storage says was used is
 * counted in memory too, so that a caller does not begin anew there.
 */
class Limiter implements OnApplicationBootstrap {
  private readonly logger = new Logger('ApiKeyModule');
  private retryAt = 0;
  private failing = false;
  private answeredAt = Number.NEGATIVE_INFINITY;

  /**
   * @param what it counts, in the log
   * @param shared null: there is only the memory
   */
  constructor(
    private readonly what: 'Rate limits' | 'Quotas',
    private readonly shared: ThrottlerStorage | null,
    private readonly local: LocalStorage,
    private readonly options: LimiterOptions,
    private readonly now: () => number = () => performance.now(),
  ) {
    if (shared instanceof SharedThrottlerStorage) shared.waitAtLeast(options.storageTimeoutMs);
  }

  /** Never rejects: what fails now shows at the first hit. */
  async onApplicationBootstrap(): Promise<void> {
    if (this.shared instanceof SharedThrottlerStorage) await this.shared.prepare().catch(() => {});
  }

  /** As `hit`, if there is only the memory, or nothing to count; else null, and nothing is counted. */
  hitInMemory(buckets: readonly Bucket[], cost: number): Hits | null {
    if (buckets.length === 0) return NONE;
    return this.shared === null ? this.local.hitAll(buckets, cost) : null;
  }

  /**
   * Counts a hit in all buckets if it fits in each of them. Of nulls alone if nobody counts, and
   * the policy is `open`.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if nobody counts, and the policy is `refuse`
   */
  async hit(buckets: readonly Bucket[], cost: number): Promise<Hits> {
    if (this.shared === null || buckets.length === 0) return this.local.hitAll(buckets, cost);
    const known = this.refusalOf(buckets, cost);
    if (known) return known;
    if (this.failing && this.now() < this.retryAt) return this.withoutStorage(buckets, cost);
    return this.ask(this.shared, buckets, cost);
  }

  /**
   * What `hit` would return, if it is known without I/O that it does not fit; else null. Counts
   * nothing.
   */
  refusalOf(buckets: readonly Bucket[], cost: number): Hits | null {
    const storage = this.shared ?? this.local;
    return storage instanceof ApiKeyThrottlerStorage ? storage.refusalOf(buckets, cost) : null;
  }

  private async ask(shared: ThrottlerStorage, buckets: readonly Bucket[], cost: number): Promise<Hits> {
    const { storageTimeoutMs } = this.options;
    const asking: Asking = { buckets, cost, since: this.now(), isLate: false };
    if (this.failing) this.retryAt = asking.since + RETRY_MS + storageTimeoutMs;
    const late = () => {
      asking.isLate = true;
      return new Error(`no answer within ${storageTimeoutMs} ms`);
    };
    try {
      const hits = await inTime(storageTimeoutMs, hitIn(shared, asking), late);
      this.counted(hits, buckets);
      return hits;
    } catch (error) {
      if (!this.isOfOneKey(error, asking)) this.failed(error);
      return this.withoutStorage(buckets, cost);
    }
  }

  private counted(hits: Hits, buckets: readonly Bucket[]): void {
    this.answeredAt = this.now();
    if (this.failing) this.logger.log(`${this.what} are counted by their storage again.`);
    this.failing = false;
    for (const [at, bucket] of buckets.entries()) {
      const hit = hits[at];
      if (hit) this.local.atLeast(bucket, bucket.policy.limit - hit.remaining);
    }
  }

  /** Whether a hit is not counted although the storage works. */
  private isOfOneKey(error: unknown, { since }: Asking): boolean {
    return error instanceof TooManyWaiting || this.answeredAt > since;
  }

  private failed(error: unknown): void {
    if (!this.failing)
      this.logger.warn(
        `${this.what} are not counted by their storage (${this.meanwhile()}): ${wordsOf(error)}`,
      );
    this.failing = true;
    this.retryAt = this.now() + RETRY_MS;
  }

  private withoutStorage(buckets: readonly Bucket[], cost: number): Hits {
    const { onStorageFailure } = this.options;
    if (onStorageFailure === 'refuse') {
      const cause = new Error(`${this.what} are not counted by their storage`);
      throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause });
    }
    return onStorageFailure === 'open' ? buckets.map(() => null) : this.local.hitAll(buckets, cost);
  }

  private meanwhile(): string {
    const { onStorageFailure } = this.options;
    return { local: 'this instance counts in memory', open: 'nothing is limited', refuse: '503' }[
      onStorageFailure
    ];
  }
}

/** After so many hits on a storage that never waits for anything, others have their turn, and the deadline can pass. */
const HITS_OF_A_TURN = 1_000;

/** A storage of somebody else's counts one bucket after the other, as far as the hit fits. */
async function hitIn(storage: ThrottlerStorage, asking: Asking): Promise<Hits> {
  if (storage instanceof ApiKeyThrottlerStorage) return storage.hitAll(asking.buckets, asking.cost);
  const hits: (Hit | null)[] = asking.buckets.map(() => null);
  for (const [at, bucket] of asking.buckets.entries()) {
    const hit = await hitOneByOne(storage, bucket, asking);
    hits[at] = hit;
    if (!hit.passed) break;
  }
  return hits;
}

/** It knows no cost: it counts one by one, as long as somebody waits for it. */
async function hitOneByOne(storage: ThrottlerStorage, { key, policy }: Bucket, asking: Asking): Promise<Hit> {
  const { limit, windowMs } = policy;
  let record = await storage.increment(key, windowMs, limit, windowMs, 'default');
  for (let i = 1; i < asking.cost && !record.isBlocked && !asking.isLate; i++) {
    if (i % HITS_OF_A_TURN === 0) await nextTurn();
    record = await storage.increment(key, windowMs, limit, windowMs, 'default');
  }
  const { totalHits, timeToExpire, isBlocked, timeToBlockExpire } = record;
  return {
    passed: !isBlocked,
    remaining: Math.max(0, limit - totalHits),
    resetMs: timeToExpire * 1_000,
    retryAfterMs: isBlocked ? timeToBlockExpire * 1_000 : 0,
  };
}

/** Counts the limits of keys and routes, in the storage of the application. */
export class RateLimiter extends Limiter {
  /** @param storage null: memory */
  constructor(storage: ThrottlerStorage | null, options: LimiterOptions, now?: () => number) {
    const own = storage instanceof MemoryThrottlerStorage ? storage : null;
    super(
      'Rate limits',
      own ? null : storage,
      own ?? new MemoryThrottlerStorage(options.maxKeys, now),
      options,
      now,
    );
  }
}

/** Counts the quotas of keys, in PostgreSQL. */
export class QuotaLimiter extends Limiter {
  constructor(
    storage: QuotaStorage,
    options: LimiterOptions & { readonly onQuotaFailure: StorageFailurePolicy },
  ) {
    const local = new MemoryQuotaStorage(options.maxKeys);
    super('Quotas', storage, local, { ...options, onStorageFailure: options.onQuotaFailure });
  }
}
