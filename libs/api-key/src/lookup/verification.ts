import type { OnApplicationShutdown } from '@nestjs/common';
import type { Database } from '../database/database';
import { partOf } from '../database/deadline';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { ResolvedCacheOptions } from '../options/cache';
import { type Clock, SYSTEM_CLOCK } from './clock';
import { KeyCache, type KnownKey, type LookUp, type LookUpWay } from './key-cache';
import { KeyStore, type StoredKey } from './key-store';
import { Lease } from './lease';
import { LookUpBatch } from './look-up-batch';
import { announceOwner } from './owner-announcement';
import { OwnerCache } from './owner-cache';
import { RevocationFeed } from './revocation-feed';
import { raiseTrust } from './trust-bound';

/** That of no key. */
const NO_DIGEST = '';

/** How long look-ups wait to go out together, or a part of their deadline if that is shorter. */
const TOGETHER_MS = 50;

/** How look-ups do, for health checks and metrics. */
export interface VerificationStatus {
  /** Whether what is remembered may be used now. */
  readonly leaseHeld: boolean;
  /** Milliseconds since the heartbeat that last came back was sent; null before the first. */
  readonly heartbeatAgeMs: number | null;
  /** Keys remembered. */
  readonly cacheSize: number;
  /** Share of look-ups that needed no I/O since the start; null before the first. */
  readonly hitRate: number | null;
  /**
   * How full the notification queue of the database server is, from 0 to 1; null while the feed
   * does not listen.
   */
  readonly notificationQueueUsage: number | null;
}

/** From a digest to its key: remembered under the lease, else looked up. */
export class Verification implements OnApplicationShutdown {
  readonly owners: OwnerCache;
  private readonly lease: Lease;
  private readonly cache: KeyCache;
  private readonly feed: RevocationFeed | null;
  private readonly batch: LookUpBatch;
  private lookUps = 0;

  constructor(
    private readonly database: Database,
    private readonly store: KeyStore,
    private readonly options: ResolvedCacheOptions,
    clock: Clock = SYSTEM_CLOCK,
  ) {
    const { leaseMs, heartbeatMs, serveCachedForMs } = options;
    this.lease = new Lease(Math.max(leaseMs, serveCachedForMs), clock, leaseMs);
    this.cache = new KeyCache((digest, how) => this.lookUp(digest, how), this.lease, options, clock);
    this.batch = new LookUpBatch(
      (digests, sent) => store.findAll(digests, sent),
      Math.min(TOGETHER_MS, partOf(options.lookUpTimeoutMs)),
    );
    this.owners = new OwnerCache(this.lease, options, clock);
    this.feed =
      options.size === 0
        ? null
        : new RevocationFeed(
            database,
            this.lease,
            this.listener(),
            { heartbeatMs, leaseMs, trustMs: this.trustMs },
            clock,
          );
  }

  /** The key of a digest, if it is cached; null if it is cached that there is none. No I/O. */
  recall(digest: string): KnownKey | null | undefined {
    return this.cache.recall(digest);
  }

  /** As `recall`, and is not counted in the hit rate: for a look-up that has recalled before. */
  peek(digest: string): KnownKey | null | undefined {
    return this.cache.peek(digest);
  }

  /**
   * The key of a digest that is not remembered; null where there is none.
   * @param others other digests that the same key may be stored under
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where too many look-ups are under way
   */
  find(digest: string, way: LookUpWay = 'alone', others: readonly string[] = []): Promise<KnownKey | null> {
    return this.cache.find(digest, way, others);
  }

  /** Forgets a key in this instance at once; the others hear of it by the feed. */
  evict(id: string): void {
    this.listener().evict(id);
  }

  /** Forgets in every instance what `loadUser` returned: here at once, elsewhere by the feed. */
  async evictOwner(userId: string): Promise<void> {
    this.listener().evictOwner(userId);
    await announceOwner(this.database, userId);
  }

  /**
   * Whether a key can be judged now: what is cached is trusted, or the database answers. If a
   * replica answered the last look-up, it asks again.
   */
  async canJudge(): Promise<boolean> {
    if (this.lease.isHeld() && !this.store.leadsToReplica) return true;
    try {
      await this.lookUp(NO_DIGEST, { way: 'alone', others: [], sent: () => {} });
      return true;
    } catch {
      return false;
    }
  }

  get status(): VerificationStatus {
    const { size, hitRate } = this.cache.statistics;
    return {
      leaseHeld: this.lease.isHeld(),
      heartbeatAgeMs: this.lease.heartbeatAgeMs(),
      cacheSize: size,
      hitRate,
      notificationQueueUsage: this.feed?.queueUsage ?? null,
    };
  }

  /** Begins to listen. Called at boot, after the checks. */
  async start(): Promise<void> {
    if (this.options.staleForMs > 0)
      await this.database.transaction((session) =>
        session.run(raiseTrust(session.tables.trust), [this.trustMs]),
      );
    this.feed?.onApplicationBootstrap();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.feed?.onApplicationShutdown();
  }

  private get trustMs(): number {
    const { leaseMs, serveCachedForMs, staleForMs } = this.options;
    return Math.max(leaseMs, serveCachedForMs, staleForMs);
  }

  private listener() {
    const { cache, owners } = this;
    return {
      evict: (id: string) => {
        const owner = cache.evict(id);
        if (owner !== undefined) owners.evict(owner);
        owners.closeLoads();
      },
      evictUnknown: () => cache.evictUnknown(),
      evictOwner: (userId: string) => owners.evict(userId),
      clear: () => {
        cache.clear();
        owners.clear();
      },
    };
  }

  /** @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if too many are under way */
  private async lookUp(digest: string, { way, others, sent }: LookUp): Promise<StoredKey | null> {
    if (way === 'together') return this.batch.find(digest, others, sent);
    if (this.lookUps >= this.options.maxLookUps)
      throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', {
        cause: new Error('too many look-ups are under way'),
      });
    this.lookUps += 1;
    try {
      return await this.store.find(digest, others, sent);
    } finally {
      this.lookUps -= 1;
    }
  }
}
