import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { MemoryThrottlerStorage } from '../rate-limit/storages/memory-storage';
import type { LimitPolicy } from '../rate-limit/storages/sliding-window';
import { addressBlock } from './address-block';

/**
 * Counts the failed look-ups of each address block, so that a flood of made-up keys cannot overload
 * the database. A look-up in flight also counts until it ends. No client is blocked. If an address
 * block reaches the limit, its look-ups are batched.
 */
@Injectable()
export class FailedAttempts {
  private readonly logger = new Logger('ApiKeyModule');
  private readonly failed: MemoryThrottlerStorage;
  private readonly underWay = new Map<string, number>();
  private readonly policy: LimitPolicy | null;
  private quietUntil = Number.NEGATIVE_INFINITY;

  constructor(
    @Inject(API_KEY_OPTIONS) { failedAttempts }: Pick<ResolvedApiKeyOptions, 'failedAttempts'>,
    @Optional() private readonly now: () => number = () => performance.now(),
  ) {
    const { limit, windowSeconds, maxAddresses } = failedAttempts;
    this.failed = new MemoryThrottlerStorage(maxAddresses, now, 0);
    this.policy = limit === null ? null : { limit, windowMs: windowSeconds * 1_000 };
  }

  /**
   * Runs a look-up for a client. Clients without a known address are counted together.
   * @param isRefused whether a result counts as a failed look-up
   */
  async watch<Found>(
    address: string | null,
    look: (way: 'alone' | 'together') => Promise<Found>,
    isRefused: (found: Found) => boolean,
  ): Promise<Found> {
    const policy = this.policy;
    if (policy === null) return look('alone');
    const block = addressBlock(address);
    if (this.used(block, policy) >= policy.limit) {
      this.tell(block, policy);
      return look('together');
    }
    this.change(block, 1);
    try {
      const found = await look('alone');
      if (isRefused(found)) this.failed.hit(block, policy, 1);
      return found;
    } finally {
      this.change(block, -1);
    }
  }

  private used(block: string, policy: LimitPolicy): number {
    return this.failed.used(block, policy) + (this.underWay.get(block) ?? 0);
  }

  private change(block: string, by: number): void {
    const count = (this.underWay.get(block) ?? 0) + by;
    if (count > 0) this.underWay.set(block, count);
    else this.underWay.delete(block);
  }

  /** Logs at most one warning per window, for all addresses together. */
  private tell(block: string, { limit, windowMs }: LimitPolicy): void {
    const now = this.now();
    if (now < this.quietUntil) return;
    this.quietUntil = now + windowMs;
    this.logger.warn(
      `${block || 'An unknown address'} sent many keys that are unknown, expired or revoked (failedAttempts: ${limit} in ${windowMs / 1_000} s): ` +
        'its look-ups are now batched to limit their cost; no key is blocked.',
    );
  }
}
