import { RecallCache } from '../model/recall-cache';
import type { ResolvedCacheOptions } from '../options/cache';
import {
  type Asked,
  type CachedKey,
  type CachedUnknown,
  cachedKey,
  cachedUnknown,
  type KnownKey,
  keyAt,
  knownKey,
  postpone,
} from './cached-key';
import type { Clock } from './clock';
import { freeze } from './frozen-key';
import type { Lease } from './lease';
import type { StoredKey } from './stored-key';

/**
 * How a look-up is sent. `alone`: at once. `together`: after a short wait, in one statement with
 * other look-ups.
 */
export type LookUpWay = 'alone' | 'together';

export interface LookUp {
  readonly way: LookUpWay;
  /** Other digests under which the same key may be stored. */
  readonly others: readonly string[];
  /** Environment of the presented key. Each digest belongs to one environment. */
  readonly environment: string | null;
  /** Called when the statement of the look-up is sent. */
  readonly sent: () => void;
}

/**
 * A look-up that has not finished. Every caller may join a look-up until its statement is sent.
 * Afterwards, a caller may join while the result could still be cached. After an eviction, no
 * caller may join.
 */
interface Flight extends Begun {
  readonly answer: Promise<KnownKey | null>;
}

interface Begun extends Asked {
  sent: boolean;
  /**
   * The ids of the keys that changed during the look-up. If the look-up finds one of these keys,
   * the key is not cached. Other keys are cached, so that frequent changes of one key do not keep
   * other keys out of the cache.
   */
  readonly changed: Set<string>;
  /** Whether any key may have changed during the look-up. If so, the result is not cached. */
  cleared: boolean;
  /** Whether a key was inserted during the look-up. If so, a result without a key is not cached. */
  inserted: boolean;
}

const NO_SESSION = -1;

/**
 * Caches keys by digest while the lease is valid. Also caches the digests under which no key is
 * stored. Callers share a look-up that has not finished. After an eviction, no caller may join the
 * look-up, because its result may be outdated.
 */
export class KeyCache {
  private readonly keys: RecallCache<CachedKey>;
  private readonly unknown: RecallCache<CachedUnknown>;
  private readonly digests = new Map<string, string>();
  /** All look-ups that have not finished. An eviction marks each of these look-ups. */
  private readonly underWay = new Set<Begun>();
  /** Look-ups that a caller may join. */
  private readonly flights = new Map<string, Flight>();
  private hits = 0;
  private misses = 0;

  constructor(
    private readonly look: (digest: string, how: LookUp) => Promise<StoredKey | null>,
    private readonly lease: Lease,
    private readonly options: Pick<ResolvedCacheOptions, 'size' | 'staleForMs'>,
    private readonly clock: Clock,
  ) {
    const max = Math.max(1, options.size);
    this.unknown = new RecallCache(max);
    this.keys = new RecallCache(max, ({ id }, digest) => this.forgetDigest(id, digest));
  }

  /** Returns the cached key, null if no key has this digest, or undefined on a cache miss. */
  recall(digest: string): KnownKey | null | undefined {
    const known = this.peek(digest);
    if (known !== undefined) this.hits += 1;
    return known;
  }

  /** Does the same as `recall`, but counts no cache hit. */
  peek(digest: string): KnownKey | null | undefined {
    const now = this.clock.monotonic();
    const entry = this.keys.recall(digest);
    if (entry && this.trusts(entry, now)) return keyAt(entry, now);
    const unknown = this.unknown.recall(digest);
    return unknown && now < unknown.rereadAt && this.trusts(unknown, now) ? null : undefined;
  }

  /**
   * Looks up a digest, or joins a look-up of this digest that has not finished.
   * @param others other digests under which the same key may be stored
   * @param environment the environment of the presented key
   * @returns null if no key exists
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if too many look-ups are in flight
   */
  find(
    digest: string,
    way: LookUpWay = 'alone',
    others: readonly string[] = [],
    environment: string | null = null,
  ): Promise<KnownKey | null> {
    const now = this.clock.monotonic();
    this.misses += 1;
    const flight = this.flights.get(digest);
    if (flight && this.mayJoin(flight, now)) return flight.answer;
    return this.fly(digest, { way, others, environment }, now);
  }

  /**
   * Removes a key from the cache. Callers can no longer join a look-up in flight, because its
   * result may contain the old state of the key.
   * @returns the owner of the key if the key was cached
   */
  evict(id: string): string | undefined {
    const digest = this.digests.get(id) ?? '';
    const owner = this.keys.recall(digest)?.live.apiKey.userId;
    this.keys.delete(digest);
    for (const flight of this.underWay) flight.changed.add(id);
    this.flights.clear();
    return owner;
  }

  /** Removes all digests without a key from the cache, because a key was inserted. */
  evictUnknown(): void {
    this.unknown.clear();
    for (const flight of this.underWay) flight.inserted = true;
    this.flights.clear();
  }

  clear(): void {
    this.keys.clear();
    for (const flight of this.underWay) flight.cleared = true;
    this.evictUnknown();
  }

  /** Number of cached keys, and hit rate from 0 to 1, which is null before the first look-up. */
  get statistics(): { readonly size: number; readonly hitRate: number | null } {
    const asked = this.hits + this.misses;
    return { size: this.keys.size, hitRate: asked === 0 ? null : this.hits / asked };
  }

  private trusts(asked: Asked, now: number): boolean {
    return this.lease.trusts(asked.session, now) || this.isFresh(asked, now);
  }

  /**
   * Returns whether a cache entry is younger than `staleForMs`, and so is used without a lease.
   * Checks both clocks, because the monotonic clock stops while the machine sleeps.
   */
  private isFresh({ askedAt, askedWall }: Asked, now: number): boolean {
    const { staleForMs } = this.options;
    return now - askedAt < staleForMs && this.clock.wall() - askedWall < staleForMs;
  }

  private mayJoin(flight: Flight, now: number): boolean {
    if (!flight.sent) return true;
    const { size, staleForMs } = this.options;
    if (size === 0) return false;
    return this.trusts(flight, now) && now - flight.askedAt < Math.max(this.lease.boundMs, staleForMs);
  }

  private fly(digest: string, how: Omit<LookUp, 'sent'>, now: number): Promise<KnownKey | null> {
    const session = this.lease.session ?? NO_SESSION;
    const askedWall = this.clock.wall();
    const none = { sent: false, changed: new Set<string>(), cleared: false, inserted: false };
    const begun = { session, askedAt: now, askedWall, ...none };
    const flight: Flight = Object.assign(begun, { answer: this.land(digest, begun, how) });
    this.underWay.add(flight);
    this.flights.set(digest, flight);
    return flight.answer;
  }

  private async land(digest: string, flight: Begun, how: Omit<LookUp, 'sent'>): Promise<KnownKey | null> {
    const sent = () => {
      flight.sent = true;
    };
    try {
      const found = await this.look(digest, { ...how, sent });
      if (found) freeze(found.apiKey, how.environment);
      return this.landed(digest, flight, found);
    } catch (error) {
      const kept = this.keep(digest);
      if (kept === undefined) throw error;
      return kept;
    } finally {
      this.underWay.delete(flight);
      if (this.flights.get(digest) === flight) this.flights.delete(digest);
    }
  }

  private landed(digest: string, flight: Begun, found: StoredKey | null): KnownKey | null {
    if (!found) {
      this.keys.delete(digest);
      if (!flight.inserted && flight.changed.size === 0 && this.mayRemember(flight))
        this.unknown.set(digest, cachedUnknown(digest, flight));
      return null;
    }
    const known = knownKey(found, digest);
    if (!flight.changed.has(known.apiKey.id) && this.mayRemember(flight))
      this.remember(digest, cachedKey(digest, flight, known, found));
    return known;
  }

  /** Caches only one digest per key, because a notification of a key evicts one digest. */
  private remember(digest: string, entry: CachedKey): void {
    const other = this.digests.get(entry.id);
    if (other !== undefined && other !== digest) this.keys.delete(other);
    this.keys.set(digest, entry);
    this.digests.set(entry.id, digest);
  }

  /**
   * Returns the cached key after a failed look-up, if the cache entry is still trusted. Postpones
   * the next look-up of this entry.
   */
  private keep(digest: string): KnownKey | undefined {
    const now = this.clock.monotonic();
    const entry = this.keys.recall(digest);
    if (!entry || !this.trusts(entry, now)) return undefined;
    postpone(entry, now);
    return keyAt(entry, now);
  }

  private mayRemember(begun: Begun): boolean {
    if (begun.cleared || this.options.size === 0) return false;
    const now = this.clock.monotonic();
    const isOfLease = begun.session === this.lease.session && now - begun.askedAt < this.lease.boundMs;
    return isOfLease || this.isFresh(begun, now);
  }

  private forgetDigest(id: string, digest: string): void {
    if (this.digests.get(id) === digest) this.digests.delete(id);
  }
}
