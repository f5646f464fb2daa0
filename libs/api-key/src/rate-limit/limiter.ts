import { setImmediate as nextTurn } from 'node:timers/promises';
import { Inject, Injectable, Logger, type OnApplicationBootstrap, Optional } from '@nestjs/common';
import { getStorageToken, type ThrottlerStorage } from '@nestjs/throttler';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE } from '../database/data-source';
import { Database } from '../database/database';
import { inTime } from '../database/deadline';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { wordsOf } from '../model/error-words';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { ResolvedRateLimitOptions } from '../options/rate-limit';
import { chosenStorage } from './storages/chosen-storage';
import { MemoryQuotaStorage } from './storages/memory-quota-storage';
import { MemoryThrottlerStorage } from './storages/memory-storage';
import { QuotaStorage } from './storages/quota-storage';
import { SharedThrottlerStorage, TooManyWaiting } from './storages/shared-storage';
import type { Hit } from './storages/sliding-window';
import { ApiKeyThrottlerStorage, type Bucket, type Hits } from './storages/storage';

/** Options for how the limiter uses its storage. */
type LimiterOptions = Pick<ResolvedRateLimitOptions, 'onStorageFailure' | 'storageTimeoutMs' | 'maxKeys'>;

type RateLimiterOptions = LimiterOptions & Pick<ResolvedRateLimitOptions, 'storage'>;

/** A storage in memory that counts synchronously. */
interface LocalStorage extends ApiKeyThrottlerStorage {
  hitAll(buckets: readonly Bucket[], cost: number): Hits;
  atLeast(bucket: Bucket, used: number): void;
}

/** One hit that is sent to a storage. */
interface Asking {
  readonly buckets: readonly Bucket[];
  readonly cost: number;
  readonly since: number;
  isLate: boolean;
}

/** Milliseconds between a failure of the storage and the next retry. */
const RETRY_MS = 200;
const NONE: Hits = [];

/**
 * Counts hits in a storage that can fail. If the storage fails, `onStorageFailure` decides whether
 * hits are counted in memory, not counted, or refused. The limiter retries the storage with one hit
 * at a time. If one hit fails while other hits succeed, the storage still counts as working. The
 * use that the storage reports is also counted in memory. So a key does not start from zero if the
 * storage fails.
 */
class Limiter implements OnApplicationBootstrap {
  private readonly logger = new Logger('ApiKeyModule');
  private retryAt = 0;
  private failing = false;
  private answeredAt = Number.NEGATIVE_INFINITY;

  /**
   * @param what the kind of limits, for the log
   * @param shared the shared storage, or null if hits are counted in memory only
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

  /**
   * Prepares the storage. Never rejects: if the storage fails, the first hit reports the failure.
   */
  async onApplicationBootstrap(): Promise<void> {
    if (this.shared instanceof SharedThrottlerStorage) await this.shared.prepare().catch(() => {});
  }

  /**
   * Counts a hit without I/O, if hits are counted in memory only or the list of buckets is empty.
   * @returns null if the storage must be asked; nothing is then counted
   */
  hitInMemory(buckets: readonly Bucket[], cost: number): Hits | null {
    if (buckets.length === 0) return NONE;
    return this.shared === null ? this.local.hitAll(buckets, cost) : null;
  }

  /**
   * Counts a hit in all buckets, if the hit fits in each of them.
   * @returns only nulls if the storage failed and `onStorageFailure` is `open`
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if the storage failed and `onStorageFailure` is
   *   `refuse`
   */
  async hit(buckets: readonly Bucket[], cost: number): Promise<Hits> {
    if (this.shared === null || buckets.length === 0) return this.local.hitAll(buckets, cost);
    const known = this.refusalOf(buckets, cost);
    if (known) return known;
    if (this.failing && this.now() < this.retryAt) return this.withoutStorage(buckets, cost);
    return this.ask(this.shared, buckets, cost);
  }

  /**
   * Looks for a refusal that is known without I/O. Counts nothing.
   * @returns the result that `hit` would return, or null if no refusal is known
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
    if (this.failing) this.logger.log(`${this.what}: the storage works again.`);
    this.failing = false;
    for (const [at, bucket] of buckets.entries()) {
      const hit = hits[at];
      if (hit) this.local.atLeast(bucket, bucket.policy.limit - hit.remaining);
    }
  }

  /** Checks whether a hit failed although the storage works. */
  private isOfOneKey(error: unknown, { since }: Asking): boolean {
    return error instanceof TooManyWaiting || this.answeredAt > since;
  }

  private failed(error: unknown): void {
    if (!this.failing)
      this.logger.warn(`${this.what}: the storage does not work (${this.meanwhile()}): ${wordsOf(error)}`);
    this.failing = true;
    this.retryAt = this.now() + RETRY_MS;
  }

  private withoutStorage(buckets: readonly Bucket[], cost: number): Hits {
    const { onStorageFailure } = this.options;
    if (onStorageFailure === 'refuse') {
      const cause = new Error(`${this.what}: the storage does not work`);
      throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause });
    }
    return onStorageFailure === 'open' ? buckets.map(() => null) : this.local.hitAll(buckets, cost);
  }

  private meanwhile(): string {
    const { onStorageFailure } = this.options;
    return {
      local: 'this instance counts in memory',
      open: 'nothing is limited',
      refuse: 'requests are answered with 503',
    }[onStorageFailure];
  }
}

/**
 * Number of consecutive hits after which the loop yields to the event loop. Without this, a storage
 * that never waits would block other requests and the deadline.
 */
const HITS_OF_A_TURN = 1_000;

/**
 * Sends a hit to the storage. A third-party storage counts one bucket after the other, and stops at
 * the first bucket that refuses the hit.
 */
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

/**
 * Counts a hit in a third-party storage, which has no notion of cost. Each unit of the cost is one
 * call. The calls end when the storage refuses or the deadline has passed.
 */
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

/** Counts the rate limits of keys and routes, in the storage that the application chose. */
@Injectable()
export class RateLimiter extends Limiter {
  /**
   * @param throttlers the storage of `ThrottlerModule`, or null if the application does not use it
   */
  constructor(
    @Inject(API_KEY_OPTIONS) { rateLimit }: { readonly rateLimit: RateLimiterOptions },
    @Inject(API_KEY_DATA_SOURCE) dataSource: DataSource,
    @Optional() @Inject(getStorageToken()) throttlers: ThrottlerStorage | null = null,
    @Optional() now?: () => number,
  ) {
    const storage = chosenStorage(rateLimit.storage, dataSource, throttlers);
    const own = storage instanceof MemoryThrottlerStorage ? storage : null;
    super(
      'Rate limits',
      own ? null : storage,
      own ?? new MemoryThrottlerStorage(rateLimit.maxKeys, now),
      rateLimit,
      now,
    );
  }
}

/** Counts the quotas of keys in PostgreSQL. */
@Injectable()
export class QuotaLimiter extends Limiter {
  constructor(
    @Inject(API_KEY_OPTIONS) { rateLimit }: Pick<ResolvedApiKeyOptions, 'rateLimit'>,
    database: Database,
  ) {
    const local = new MemoryQuotaStorage(rateLimit.maxKeys);
    const options = { ...rateLimit, onStorageFailure: rateLimit.onQuotaFailure };
    super('Quotas', new QuotaStorage(database), local, options);
  }
}
