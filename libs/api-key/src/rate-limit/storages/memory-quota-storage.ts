import { LRUCache } from 'lru-cache';
import type { QuotaPeriod } from '../../model/limits';
import { periodAt } from '../../usage/calendar';
import { type Hit, type LimitPolicy, periodOf } from './sliding-window';
import { ApiKeyThrottlerStorage, type Bucket } from './storage';

interface Spent {
  startsAt: number;
  used: number;
}

const PERIODS: readonly QuotaPeriod[] = ['day', 'month'];

/**
 * Counts quotas in the memory of this process while the database cannot count them. Each use counts
 * in the UTC day and in the UTC month, so that the use is known if the period of a quota changes.
 */
export class MemoryQuotaStorage extends ApiKeyThrottlerStorage {
  /** Allocates room for all keys at once, so it is created with the first use. */
  private spent: LRUCache<string, Readonly<Record<QuotaPeriod, Spent>>> | undefined;

  /**
   * @param maxKeys how many keys are counted. Beyond that, the least recently used key is evicted
   * @param now milliseconds since 1970
   */
  constructor(
    private readonly maxKeys: number,
    private readonly now: () => number = () => Date.now(),
  ) {
    super();
  }

  override hitAll(buckets: readonly Bucket[], cost: number): readonly Hit[] {
    const now = this.now();
    const fits = buckets.map(({ key, policy }) => this.usedOf(key, policy, now) + cost <= policy.limit);
    const passed = fits.every(Boolean);
    if (passed) for (const { key } of buckets) this.add(key, cost, now);
    return buckets.map(({ key, policy }, at) => this.hitOf(key, policy, fits[at] === true, now));
  }

  /** Raises the use of a bucket in its period to at least `used`. */
  atLeast({ key, policy }: Bucket, used: number): void {
    const now = this.now();
    const missing = used - this.usedOf(key, policy, now);
    if (missing > 0) this.add(key, missing, now);
  }

  private usedOf(key: string, policy: LimitPolicy, now: number): number {
    const period = periodOf(policy);
    const spent = this.spent?.get(key)?.[period];
    return spent?.startsAt === periodAt(period, now).startsAt ? spent.used : 0;
  }

  private add(key: string, cost: number, now: number): void {
    this.spent ??= new LRUCache({ max: this.maxKeys });
    const spent = this.spent.get(key) ?? { day: { startsAt: 0, used: 0 }, month: { startsAt: 0, used: 0 } };
    for (const period of PERIODS) {
      const { startsAt } = periodAt(period, now);
      if (spent[period].startsAt !== startsAt) Object.assign(spent[period], { startsAt, used: 0 });
      spent[period].used += cost;
    }
    this.spent.set(key, spent);
  }

  private hitOf(key: string, policy: LimitPolicy, passed: boolean, now: number): Hit {
    const resetMs = periodAt(periodOf(policy), now).endsAt - now;
    const remaining = Math.max(0, policy.limit - this.usedOf(key, policy, now));
    return { passed, remaining, resetMs, retryAfterMs: passed ? 0 : resetMs };
  }
}
