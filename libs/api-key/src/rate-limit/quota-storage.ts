import type { DataSource } from 'typeorm';
import { besideKeys } from '../verification/api-key.row';
import { OneRow } from './one-row';
import { type Lot, SharedThrottlerStorage, type Taken } from './shared-storage';
import type { LimitPolicy } from './sliding-window';

interface SpentRow {
  readonly granted: readonly number[];
  readonly remaining: number;
  readonly reset_ms: number;
}

/** Counts quotas by the id of the key, in PostgreSQL: exact over all instances, and kept when the database starts anew. */
export class QuotaStorage extends SharedThrottlerStorage {
  protected override readonly nobody = '0';
  private readonly spent: OneRow<SpentRow>;

  constructor(dataSource: DataSource) {
    super();
    const spend = () => besideKeys(dataSource, 'nestjs_api_key_spend');
    this.spent = new OneRow(
      dataSource,
      'nestjs_api_key_spend',
      () => `SELECT granted, remaining, reset_ms FROM ${spend()}($1, $2, $3, $4, $5)`,
    );
  }

  protected override async take(
    keyId: string,
    { limit, period = 'day' }: LimitPolicy,
    lots: readonly Lot[],
    timeoutMs: number,
  ): Promise<Taken> {
    const [costs, counts] = [lots.map(({ cost }) => cost), lots.map(({ count }) => count)];
    const row = await this.spent.ask([keyId, limit, period, costs, counts], timeoutMs);
    const { granted, remaining, reset_ms: resetMs } = row;
    const retryAfterMs = counts.map((count, at) => ((granted[at] ?? 0) < count ? resetMs : 0));
    return { granted, remaining, resetMs, retryAfterMs };
  }
}
