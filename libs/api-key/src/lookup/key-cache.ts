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

/** `alone`: sent at once. `together`: waits a moment to share a statement with others. */
export type LookUpWay = 'alone' | 'together';

export interface LookUp {
  readonly way: LookUpWay;
  /** Other digests that the same key may be stored under. */
  readonly others: readonly string[];
  /** The environment of the presented key, which only one raw key has for a digest. */
  readonly environment: string | null;
  /** Called when the statement is sent. */
  readonly sent: () => void;
}

/**
 * A look-up under way. Before its statement is sent, every caller may join. After that, a caller
 * may join while the result could still be cached. After an eviction, nobody may join.
 */
interface Flight extends Begun {
  readonly answer: Promise<KnownKey | null>;
}

interface Begun extends Asked {
  sent: boolean;
  /**
   * The ids of keys that changed during the look-up. If one of them is found, it is not cached.
   * Other keys are cached: otherwise the changes of one key would keep them out of the cache.
   */
  readonly changed: Set<string>;
  /** Anything may have changed during the look-up, so that its result is not cached. */
  cleared: boolean;
  /** A key was inserted during the look-up, so that "no key found" is not cached. */
  inserted: boolean;
}

const NO_SESSION = -1;

/**
 * Caches keys by digest, and digests without a key, while the lease holds. Callers share a look-up
 * under way. After an eviction nobody may join the look-up, because its answer may be outdated.
 */
export class KeyCache {
  private readonly keys: RecallCache<CachedKey>;
  private readonly unknown: RecallCache<CachedUnknown>;
  private readonly digests = new Map<string, string>();
  /** All look-ups under way. An eviction marks each of them. */
  private readonly underWay = new Set<Begun>();
  /** The look-ups that a caller may join. */
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

  /** The key of a digest; null if the digest is cached without a key; undefined if not cached. */
  recall(digest: string): KnownKey | null | undefined {
    const known = this.peek(digest);
    if (known !== undefined) this.hits += 1;
    return known;
  }

  /** Same as `recall`, but does not count a hit. */
  peek(digest: string): KnownKey | null | undefined {
    const now = this.clock.monotonic();
    const entry = this.keys.recall(digest);
    if (entry && this.trusts(entry, now)) return keyAt(entry, now);
    const unknown = this.unknown.recall(digest);
    return unknown && now < unknown.rereadAt && this.trusts(unknown, now) ? null : undefined;
  }

  /**
   * Looks up a digest, or joins a look-up under way, alone or together. Null if no key exists.
   * @param others other digests under which the same key may be stored
   * @param environment the environment of the presented key
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
   * Removes a key. Nobody may join the look-ups under way, because they may have its old state.
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

  /** Removes the digests without a key, because a key was inserted. */
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

  /** Number of cached keys, and share of look-ups without I/O; null before the first look-up. */
  get statistics(): { readonly size: number; readonly hitRate: number | null } {
    const asked = this.hits + this.misses;
    return { size: this.keys.size, hitRate: asked === 0 ? null : this.hits / asked };
  }

  private trusts(asked: Asked, now: number): boolean {
    return this.lease.trusts(asked.session, now) || this.isFresh(asked, now);
  }

  /** Used without a lease. Checks both clocks, because the monotonic clock stops during sleep. */
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

  /**
   * Caches one digest per key, because a notification names the id and evicts one digest only.
   */
  private remember(digest: string, entry: CachedKey): void {
    const other = this.digests.get(entry.id);
    if (other !== undefined && other !== digest) this.keys.delete(other);
    this.keys.set(digest, entry);
    this.digests.set(entry.id, digest);
  }

  /** After a failed look-up: the key of an entry that is still trusted, and is used on. */
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
