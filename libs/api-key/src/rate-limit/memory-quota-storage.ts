import { LRUCache } from 'lru-cache';
import { periodAt } from './calendar';
import type { Hit, LimitPolicy } from './sliding-window';
import { ApiKeyThrottlerStorage } from './storage';

interface Spent {
  startsAt: number;
  used: number;
}

/** Counts quotas of calendar periods in the memory of this process, for as long as their database does not. */
export class MemoryQuotaStorage extends ApiKeyThrottlerStorage {
  private readonly spent: LRUCache<string, Spent>;

  /**
   * @param maxKeys beyond which the key whose last hit is longest ago is forgotten
   * @param now milliseconds since 1970
   */
  constructor(
    maxKeys: number,
    private readonly now: () => number = () => Date.now(),
  ) {
    super();
    this.spent = new LRUCache({ max: maxKeys });
  }

  override hit(key: string, { limit, period = 'day' }: LimitPolicy, cost: number): Hit {
    const now = this.now();
    const { startsAt, endsAt } = periodAt(period, now);
    const before = this.spent.get(`${period} ${key}`);
    const used = before?.startsAt === startsAt ? before.used : 0;
    const passed = used + cost <= limit;
    if (passed) this.spent.set(`${period} ${key}`, { startsAt, used: used + cost });
    const remaining = Math.max(0, limit - used - (passed ? cost : 0));
    return { passed, remaining, resetMs: endsAt - now, retryAfterMs: passed ? 0 : endsAt - now };
  }
}
