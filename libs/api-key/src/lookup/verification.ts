import { Inject, Injectable, type OnApplicationShutdown, Optional } from '@nestjs/common';
import { Database } from '../database/database';
import { partOf } from '../database/deadline';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { KeyEviction } from '../model/key-eviction';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { ResolvedCacheOptions } from '../options/cache';
import { type Clock, SYSTEM_CLOCK } from './clock';
import { KeyCache, type LookUp } from './key-cache';
import { KeyStore } from './key-store';
import { Lease } from './lease';
import { LookUpBatch } from './look-up-batch';
import { announceOwner } from './owner-announcement';
import { OwnerCache } from './owner-cache';
import { RevocationFeed } from './revocation-feed';
import type { StoredKey } from './stored-key';
import { raiseTrust } from './trust-bound';

/** A digest that no key has. */
const NO_DIGEST = '';

/**
 * Milliseconds that look-ups wait to share a statement, or a part of their deadline if it is
 * shorter.
 */
const TOGETHER_MS = 50;

/** State of the look-ups, for health checks and metrics. */
export interface VerificationStatus {
  /** Whether the cache may be used now. */
  readonly leaseHeld: boolean;
  /** Milliseconds since the last heartbeat that came back was sent; null before the first. */
  readonly heartbeatAgeMs: number | null;
  /** Number of cached keys. */
  readonly cacheSize: number;
  /** Share of look-ups without I/O since the start; null before the first look-up. */
  readonly hitRate: number | null;
  /**
   * How full the notification queue of the database server is, from 0 to 1; null while the feed
   * does not listen.
   */
  readonly notificationQueueUsage: number | null;
}

/** Wires the caches of keys and owners, the look-ups and the feed that evicts what changed. */
@Injectable()
export class Verification implements OnApplicationShutdown, KeyEviction {
  readonly keys: KeyCache;
  readonly owners: OwnerCache;
  private readonly lease: Lease;
  private readonly feed: RevocationFeed | null;
  private readonly batch: LookUpBatch;
  private readonly options: ResolvedCacheOptions;
  private lookUps = 0;
  private judging: Promise<boolean> | null = null;

  constructor(
    private readonly database: Database,
    private readonly store: KeyStore,
    @Inject(API_KEY_OPTIONS) { cache: options }: Pick<ResolvedApiKeyOptions, 'cache'>,
    @Optional() clock: Clock = SYSTEM_CLOCK,
  ) {
    this.options = options;
    const { leaseMs, heartbeatMs, serveCachedForMs } = options;
    this.lease = new Lease(Math.max(leaseMs, serveCachedForMs), clock, leaseMs);
    this.keys = new KeyCache((digest, how) => this.lookUp(digest, how), this.lease, options, clock);
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

  /** Removes a key from the cache of this instance. The feed evicts it in the other instances. */
  evict(id: string): void {
    this.listener().evict(id);
  }

  /** Evicts the cached user of an owner: here at once, in the other instances through the feed. */
  async evictOwner(userId: string): Promise<void> {
    this.listener().evictOwner(userId);
    await announceOwner(this.database, userId);
  }

  /**
   * Whether keys can be verified now, because the cache is trusted or the database answers. If a
   * replica answered the last look-up, the database is always asked. All who ask meanwhile share
   * one look-up, because anybody may call a health check, and look-ups of keys need their places.
   */
  async canJudge(): Promise<boolean> {
    if (this.lease.isHeld() && !this.store.leadsToReplica) return true;
    this.judging ??= this.databaseAnswers().finally(() => {
      this.judging = null;
    });
    return this.judging;
  }

  private async databaseAnswers(): Promise<boolean> {
    try {
      await this.lookUp(NO_DIGEST, { way: 'alone', others: [], environment: null, sent: () => {} });
      return true;
    } catch {
      return false;
    }
  }

  get status(): VerificationStatus {
    const { size, hitRate } = this.keys.statistics;
    return {
      leaseHeld: this.lease.isHeld(),
      heartbeatAgeMs: this.lease.heartbeatAgeMs(),
      cacheSize: size,
      hitRate,
      notificationQueueUsage: this.feed?.queueUsage ?? null,
    };
  }

  /** Starts the feed. Called at boot after the checks. */
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
    const { keys, owners } = this;
    return {
      evict: (id: string) => {
        const owner = keys.evict(id);
        if (owner !== undefined) owners.evict(owner);
        owners.closeLoadsFor(id);
      },
      evictUnknown: () => keys.evictUnknown(),
      evictOwner: (userId: string) => owners.evict(userId),
      clear: () => {
        keys.clear();
        owners.clear();
      },
    };
  }

  /** @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if too many look-ups are in flight */
  private async lookUp(digest: string, { way, others, sent }: LookUp): Promise<StoredKey | null> {
    if (way === 'together') return this.batch.find(digest, others, sent);
    if (this.lookUps >= this.options.maxLookUps)
      throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', {
        cause: new Error('too many look-ups are in flight'),
      });
    this.lookUps += 1;
    try {
      return await this.store.find(digest, others, sent);
    } finally {
      this.lookUps -= 1;
    }
  }
}
