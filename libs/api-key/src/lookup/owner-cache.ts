import { RecallCache } from '../model/recall-cache';
import type { ResolvedCacheOptions } from '../options/cache';
import type { Clock } from './clock';
import type { Lease } from './lease';

interface Remembered {
  readonly session: number | null;
  readonly askedAt: number;
}

interface Known extends Remembered {
  readonly user: unknown;
}

/** A call of `loadUser` that has not finished. After an eviction, no caller may join the call. */
interface Load extends Remembered {
  readonly user: Promise<unknown>;
  /** Ids of the keys whose requests wait for the call of `loadUser`. */
  readonly keyIds: Set<string>;
}

/**
 * Caches the results of `loadUser` for `userCacheMs`, but no longer than the lease is valid.
 * Callers share a call of `loadUser` while its result could still be cached.
 */
export class OwnerCache {
  private readonly known: RecallCache<Known>;
  private readonly loads = new Map<string, Load>();

  constructor(
    private readonly lease: Lease,
    private readonly options: Pick<ResolvedCacheOptions, 'size' | 'lookUpTimeoutMs' | 'userCacheMs'>,
    private readonly clock: Clock,
  ) {
    this.known = new RecallCache(Math.max(1, options.size));
  }

  /** Returns the cached user of an owner, or undefined on a cache miss. Does no I/O. */
  recall(userId: string): unknown {
    const known = this.known.recall(userId);
    return known && this.trusts(known, this.clock.monotonic()) ? known.user : undefined;
  }

  /**
   * Loads the user of an owner, or joins a load that has not finished. A falsy result is not
   * cached.
   * @param keyId id of the key of the request
   */
  find(userId: string, load: (userId: string) => Promise<unknown>, keyId: string): Promise<unknown> {
    const now = this.clock.monotonic();
    const loading = this.loads.get(userId);
    if (!loading || !this.mayBeJoined(loading, now)) return this.load(userId, load, { keyId, now });
    loading.keyIds.add(keyId);
    return loading.user;
  }

  /** Removes the cached user of an owner. Callers can no longer join a load of this user. */
  evict(userId: string): void {
    this.known.delete(userId);
    this.loads.delete(userId);
  }

  /**
   * Closes the loads of the users of requests with a changed key, because the owner of the key may
   * have changed too. No caller may join a closed load, and its result is not cached. Loads for
   * other keys continue. Otherwise each change of one key would make every instance load the users
   * of all other keys again.
   */
  closeLoadsFor(keyId: string): void {
    for (const [userId, { keyIds }] of this.loads) if (keyIds.has(keyId)) this.loads.delete(userId);
  }

  /** Removes all cached users. */
  clear(): void {
    this.known.clear();
    this.loads.clear();
  }

  private trusts({ session, askedAt }: Remembered, now: number): boolean {
    return session !== null && now - askedAt < this.options.userCacheMs && this.lease.trusts(session, now);
  }

  /**
   * Checks whether a caller may join a load. A load that already takes longer than
   * `lookUpTimeoutMs` is not joined.
   */
  private mayBeJoined(loading: Load, now: number): boolean {
    return this.trusts(loading, now) && now - loading.askedAt < this.options.lookUpTimeoutMs;
  }

  private load(
    userId: string,
    load: (userId: string) => Promise<unknown>,
    { keyId, now }: { readonly keyId: string; readonly now: number },
  ): Promise<unknown> {
    const asked: Remembered = { session: this.lease.session, askedAt: now };
    const user = this.loaded(userId, asked, load);
    const loading: Load = Object.assign(asked, { user, keyIds: new Set([keyId]) });
    this.loads.set(userId, loading);
    return loading.user;
  }

  private async loaded(
    userId: string,
    asked: Remembered,
    load: (userId: string) => Promise<unknown>,
  ): Promise<unknown> {
    let user: unknown;
    try {
      user = await load(userId);
      return user;
    } finally {
      if (this.ended(userId, asked)) this.remember(userId, asked, user);
    }
  }

  private remember(userId: string, { session, askedAt }: Remembered, user: unknown): void {
    if (user && session !== null && session === this.lease.session && this.options.userCacheMs > 0)
      this.known.set(userId, { user, session, askedAt });
  }

  /** Removes a load. Returns whether callers could still join the load. */
  private ended(userId: string, loading: Remembered): boolean {
    return this.loads.get(userId) === loading && this.loads.delete(userId);
  }
}
