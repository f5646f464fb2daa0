import type { DataSource } from 'typeorm';
import { besideKeys } from '../verification/api-key.row';
import { askPool } from './ask-pool';
import { SharedThrottlerStorage, type Taken } from './shared-storage';
import type { LimitPolicy } from './sliding-window';

interface SpentRow {
  readonly granted: number;
  readonly remaining: number;
  readonly reset_ms: number;
}

/** Counts quotas by the id of the key, in PostgreSQL: exact over all instances, and kept when the database starts anew. */
export class QuotaStorage extends SharedThrottlerStorage {
  protected override readonly nobody = '0';

  constructor(private readonly dataSource: DataSource) {
    super();
  }

  protected override async take(
    keyId: string,
    { limit, period = 'day' }: LimitPolicy,
    cost: number,
    count: number,
  ): Promise<Taken> {
    const row = await askPool<SpentRow>(this.dataSource, {
      name: 'nestjs_api_key_spend',
      text: `SELECT granted, remaining, reset_ms FROM ${besideKeys(this.dataSource, 'nestjs_api_key_spend')}($1, $2, $3, $4, $5)`,
      values: [keyId, limit, period, cost, count],
    });
    const { granted, remaining, reset_ms: resetMs } = row;
    return { granted, remaining, resetMs, retryAfterMs: granted < count ? resetMs : 0 };
  }
}
