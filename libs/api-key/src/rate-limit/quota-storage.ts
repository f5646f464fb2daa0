import type { DataSource } from 'typeorm';
import { besideKeys } from '../verification/api-key.row';
import { OneRow } from './one-row';
import { SharedThrottlerStorage, type Taken } from './shared-storage';
import type { Bucket } from './storage';

interface SpentRow {
  readonly granted: number;
  readonly remaining: readonly number[];
  readonly reset_ms: readonly number[];
}

/** Counts quotas by the id of the key, in PostgreSQL: exact over all instances, and kept when the database starts anew. */
export class QuotaStorage extends SharedThrottlerStorage {
  private readonly spent: OneRow<SpentRow>;

  constructor(dataSource: DataSource) {
    super();
    const spend = () => besideKeys(dataSource, 'nestjs_api_key_spend_together');
    this.spent = new OneRow(
      dataSource,
      'nestjs_api_key_spend_together',
      () => `SELECT granted, remaining, reset_ms FROM ${spend()}($1, $2, $3, $4, $5)`,
    );
  }

  protected override async take(
    buckets: readonly Bucket[],
    cost: number,
    count: number,
    timeoutMs: number,
  ): Promise<Taken> {
    const ids = buckets.map(({ key }) => key);
    const limits = buckets.map(({ policy }) => policy.limit);
    const periods = buckets.map(({ policy }) => policy.period ?? 'day');
    const row = await this.spent.ask([ids, limits, periods, cost, count], timeoutMs);
    const states = buckets.map((_, at) => {
      const [remaining = 0, resetMs = 0] = [row.remaining[at], row.reset_ms[at]];
      return { remaining, resetMs, retryAfterMs: row.granted < count && remaining < cost ? resetMs : 0 };
    });
    return { granted: row.granted, buckets: states };
  }
}
