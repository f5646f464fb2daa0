import type { ApiKey } from '../model/api-key.entity';
import { RecallCache } from '../model/recall-cache';
import type { ResolvedCacheOptions } from '../options/cache';
import type { Clock } from './clock';
import type { StoredKey } from './key-store';
import type { Lease } from './lease';

/** At once, or together with others that it waits for a moment. */
export type LookUpWay = 'alone' | 'together';

/** What is known of a digest now. */
export interface KnownKey {
  readonly apiKey: ApiKey;
  readonly revoked: boolean;
  readonly expired: boolean;
  /** The digest that it is stored under, where that is not the one that it is known by; else null. */
  readonly outdated: string | null;
}

/** How a digest is looked up. */
export interface LookUp {
  readonly way: LookUpWay;
  /** Other digests that the same key may be stored under. */
  readonly others: readonly string[];
  /** Called when the statement goes out. */
  readonly sent: () => void;
}

interface Remembered {
  readonly session: number;
  readonly askedAt: number;
  /** The same moment on the wall clock. */
  readonly askedWall: number;
}

interface Entry extends Remembered {
  readonly id: string;
  readonly live: KnownKey;
  readonly expired: KnownKey;
  /** On the monotonic clock; null: never. */
  readonly expiresAt: number | null;
}

/**
 * A look-up under way. Until it is sent, as where it waits for a connection, its answer will be younger than whoever joins it;
 * after that it may be joined as far as it may be remembered. Nobody may join it once an eviction has overtaken it.
 */
interface Flight extends Begun {
  readonly answer: Promise<KnownKey | null>;
}

interface Begun extends Remembered {
  sent: boolean;
  /** A key changed meanwhile: what is found is not remembered. */
  changed: boolean;
  /** A key was inserted meanwhile: that none was found is not remembered. */
  inserted: boolean;
}

const NO_SESSION = -1;

/**
 * Remembers keys by digest, and digests that are of none, while the lease holds. One look-up serves all who wait for it;
 * one that an eviction overtakes is closed, for its answer may be older than the eviction.
 */
export class KeyCache {
  private readonly keys: RecallCache<Entry>;
  private readonly unknown: RecallCache<Remembered>;
  private readonly digests = new Map<string, string>();
  /** All look-ups under way: an eviction marks each. */
  private readonly underWay = new Set<Begun>();
  /** Those that may be joined. */
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

  /** The key of a digest, if it is cached; null if it is cached that there is none. */
  recall(digest: string): KnownKey | null | undefined {
    const known = this.peek(digest);
    if (known !== undefined) this.hits += 1;
    return known;
  }

  /** As `recall`, and counts no hit. */
  peek(digest: string): KnownKey | null | undefined {
    const now = this.clock.monotonic();
    const entry = this.keys.recall(digest);
    if (entry && this.trusts(entry, now))
      return entry.expiresAt !== null && now >= entry.expiresAt ? entry.expired : entry.live;
    const unknown = this.unknown.recall(digest);
    return unknown && this.trusts(unknown, now) ? null : undefined;
  }

  /** Looks a digest up, or joins who does, whichever way; null where there is no key of it. */
  find(digest: string, way: LookUpWay, others: readonly string[] = []): Promise<KnownKey | null> {
    const now = this.clock.monotonic();
    this.misses += 1;
    const flight = this.flights.get(digest);
    return flight && this.mayJoin(flight, now) ? flight.answer : this.fly(digest, { way, others }, now);
  }

  /** Forgets a key, and closes what is under way: its answer may be that key, as it was. Answers its owner where it was remembered. */
  evict(id: string): string | undefined {
    const digest = this.digests.get(id) ?? '';
    const owner = this.keys.recall(digest)?.live.apiKey.userId;
    this.keys.delete(digest);
    for (const flight of this.underWay) flight.changed = true;
    this.flights.clear();
    return owner;
  }

  /** Forgets the digests that were of no key: a key was inserted. */
  evictUnknown(): void {
    this.unknown.clear();
    for (const flight of this.underWay) flight.inserted = true;
    this.flights.clear();
  }

  /** Forgets everything. */
  clear(): void {
    this.keys.clear();
    for (const flight of this.underWay) flight.changed = true;
    this.evictUnknown();
  }

  /** Keys remembered, and the share of look-ups that needed no I/O since the start; null before the first. */
  get statistics(): { readonly size: number; readonly hitRate: number | null } {
    const asked = this.hits + this.misses;
    return { size: this.keys.size, hitRate: asked === 0 ? null : this.hits / asked };
  }

  private trusts(asked: Remembered, now: number): boolean {
    return this.lease.trusts(asked.session, now) || this.isFresh(asked, now);
  }

  /** Without a lease. On both clocks, for a machine that sleeps stops its monotonic one. */
  private isFresh({ askedAt, askedWall }: Remembered, now: number): boolean {
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
    const begun = { session, askedAt: now, askedWall, sent: false, changed: false, inserted: false };
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
      return this.landed(digest, flight, await this.look(digest, { ...how, sent }));
    } finally {
      this.underWay.delete(flight);
      if (this.flights.get(digest) === flight) this.flights.delete(digest);
    }
  }

  private landed(digest: string, flight: Begun, found: StoredKey | null): KnownKey | null {
    if (!found) {
      const { session, askedAt, askedWall } = flight;
      if (!flight.inserted && this.mayRemember(flight))
        this.unknown.set(digest, { session, askedAt, askedWall });
      return null;
    }
    const { apiKey, revoked, lifeMs } = found;
    const outdated = found.digest === digest ? null : found.digest;
    const known = { apiKey: frozen(apiKey), revoked, expired: lifeMs !== null && lifeMs <= 0, outdated };
    if (this.mayRemember(flight)) this.remember(digest, flight, known, lifeMs);
    return known;
  }

  /**
   * The deadline counts from when the look-up was sent: on the early side, as it may be. Of one key one digest is remembered: a note
   * names the id, and would evict no other.
   */
  private remember(
    digest: string,
    { session, askedAt, askedWall }: Begun,
    known: KnownKey,
    lifeMs: number | null,
  ): void {
    const { id } = known.apiKey;
    const other = this.digests.get(id);
    if (other !== undefined && other !== digest) this.keys.delete(other);
    this.keys.set(digest, {
      session,
      askedAt,
      askedWall,
      id,
      live: Object.freeze({ ...known }),
      expired: Object.freeze({ ...known, expired: true }),
      expiresAt: lifeMs === null ? null : askedAt + lifeMs,
    });
    this.digests.set(id, digest);
  }

  private mayRemember(begun: Begun): boolean {
    if (begun.changed || this.options.size === 0) return false;
    const now = this.clock.monotonic();
    const isOfLease = begun.session === this.lease.session && now - begun.askedAt < this.lease.boundMs;
    return isOfLease || this.isFresh(begun, now);
  }

  private forgetDigest(id: string, digest: string): void {
    if (this.digests.get(id) === digest) this.digests.delete(id);
  }
}

/** All requests of a key share its entity: what one does to it must not reach the others. */
function frozen(apiKey: ApiKey): ApiKey {
  freezeDeep(apiKey.metadata);
  freezeDeep(apiKey.sharedLimits);
  if (apiKey.allowedIps) Object.freeze(apiKey.allowedIps);
  Object.freeze(apiKey.scopes);
  Object.freeze(apiKey.ancestorIds);
  Object.freeze(apiKey);
  return apiKey;
}

function freezeDeep(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  Object.values(value).forEach(freezeDeep);
  Object.freeze(value);
}
