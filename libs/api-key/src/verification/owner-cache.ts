import { LRUCache } from 'lru-cache';
import type { Clock } from './clock';
import type { Lease } from './lease';

interface Known {
  readonly user: unknown;
  readonly session: number;
  readonly askedAt: number;
}

/** Remembers what `loadUser` returned, for a time of its own and no longer than the lease holds. */
export class OwnerCache {
  private readonly known: LRUCache<string, Known>;
  private generation = 0;

  constructor(
    private readonly lease: Lease,
    private readonly options: { readonly cacheSize: number; readonly userCacheMs: number },
    private readonly clock: Clock,
  ) {
    this.known = new LRUCache({ max: Math.max(1, options.cacheSize) });
  }

  /** The user of an owner, remembered or loaded; what is falsy is not remembered. */
  find(userId: string, load: (userId: string) => unknown): unknown {
    const known = this.known.get(userId);
    const now = this.clock.monotonic();
    if (known && now - known.askedAt < this.options.userCacheMs && this.lease.trusts(known.session, now))
      return known.user;
    return this.load(userId, load, now);
  }

  /** Forgets an owner. */
  evict(userId: string): void {
    this.known.delete(userId);
    this.closeLoads();
  }

  /** What is being loaded now is not remembered. */
  closeLoads(): void {
    this.generation += 1;
  }

  /** Forgets all. */
  clear(): void {
    this.known.clear();
    this.closeLoads();
  }

  private async load(userId: string, load: (userId: string) => unknown, askedAt: number): Promise<unknown> {
    const { session } = this.lease;
    const { generation } = this;
    const user = await load(userId);
    const { cacheSize, userCacheMs } = this.options;
    if (
      user &&
      cacheSize > 0 &&
      userCacheMs > 0 &&
      session !== null &&
      session === this.lease.session &&
      generation === this.generation
    )
      this.known.set(userId, { user, session, askedAt });
    return user;
  }
}
