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

/** A digest under which no key is stored. */
const NO_DIGEST = '';

/**
 * Maximum milliseconds that look-ups wait to share a statement. The wait is at most a quarter of
 * `lookUpTimeoutMs`.
 */
const TOGETHER_MS = 50;

/** State of the look-ups, for health checks and metrics. */
export interface VerificationStatus {
  /** Whether the lease is valid, so that cached keys may be used. */
  readonly leaseHeld: boolean;
  /** Milliseconds since the sending of the last heartbeat that came back; null before the first. */
  readonly heartbeatAgeMs: number | null;
  /** Number of cached keys. */
  readonly cacheSize: number;
  /** Fraction of look-ups that were cache hits since the start; null before the first look-up. */
  readonly hitRate: number | null;
  /**
   * Usage of the database server's notification queue, from 0 to 1. Null while the revocation feed
   * does not listen.
   */
  readonly notificationQueueUsage: number | null;
}

/**
 * Connects the caches of keys and owners, the look-ups, and the revocation feed that evicts changed
 * keys and owners.
 */
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

  /**
   * Removes a key from the cache of this instance. The revocation feed evicts the key on the other
   * instances.
   */
  evict(id: string): void {
    this.listener().evict(id);
  }

  /** Removes all digests without a key from the cache of this instance. */
  evictUnknown(): void {
    this.keys.evictUnknown();
  }

  /**
   * Removes the cached user of an owner: on this instance at once, on other instances through the
   * revocation feed.
   */
  async evictOwner(userId: string): Promise<void> {
    this.listener().evictOwner(userId);
    await announceOwner(this.database, userId);
  }

  /**
   * Checks whether keys can be verified now: the lease is valid, or the database answers. If a
   * replica answered the last look-up, the database is always queried. All concurrent callers share
   * one look-up. Otherwise anybody could fill the limit of look-ups with calls of a health check.
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

  /** Starts the revocation feed. Called at boot after the checks. */
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

  /**
   * Sends a look-up alone or together with others.
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if too many look-ups are in flight
   */
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
