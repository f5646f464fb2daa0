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

/** A call of `loadUser` under way. After an eviction, nobody may join the call. */
interface Load extends Remembered {
  readonly user: Promise<unknown>;
}

/**
 * Caches the results of `loadUser` for `userCacheMs`, but no longer than the lease holds. Callers
 * share a call under way while its result could still be cached.
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

  /** The user of an owner, if it is cached. No I/O. */
  recall(userId: string): unknown {
    const known = this.known.recall(userId);
    return known && this.trusts(known, this.clock.monotonic()) ? known.user : undefined;
  }

  /** Loads the user of an owner, or joins a load under way. A falsy result is not cached. */
  find(userId: string, load: (userId: string) => Promise<unknown>): Promise<unknown> {
    const now = this.clock.monotonic();
    const loading = this.loads.get(userId);
    return loading && this.mayBeJoined(loading, now) ? loading.user : this.load(userId, load, now);
  }

  /** Removes the cached user of an owner. */
  evict(userId: string): void {
    this.known.delete(userId);
    this.closeLoads();
  }

  /** No caller may join the loads under way, and their results are not cached. */
  closeLoads(): void {
    this.loads.clear();
  }

  /** Removes all cached users. */
  clear(): void {
    this.known.clear();
    this.closeLoads();
  }

  private trusts({ session, askedAt }: Remembered, now: number): boolean {
    return session !== null && now - askedAt < this.options.userCacheMs && this.lease.trusts(session, now);
  }

  /** A load that already takes longer than the deadline of a look-up is not joined. */
  private mayBeJoined(loading: Load, now: number): boolean {
    return this.trusts(loading, now) && now - loading.askedAt < this.options.lookUpTimeoutMs;
  }

  private load(
    userId: string,
    load: (userId: string) => Promise<unknown>,
    askedAt: number,
  ): Promise<unknown> {
    const asked: Remembered = { session: this.lease.session, askedAt };
    const loading: Load = Object.assign(asked, { user: this.loaded(userId, asked, load) });
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

  /** Removes a load. Returns whether callers could still join it. */
  private ended(userId: string, loading: Remembered): boolean {
    return this.loads.get(userId) === loading && this.loads.delete(userId);
  }
}
