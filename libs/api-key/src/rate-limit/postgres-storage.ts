import type { DataSource } from 'typeorm';
import { besideKeys } from '../verification/api-key.row';
import { OneRow } from './one-row';
import { type Lot, SharedThrottlerStorage, type Taken } from './shared-storage';
import type { LimitPolicy } from './sliding-window';

/** How often what nobody uses any more is removed. */
const CLEAN_EVERY_MS = 60_000;

interface TakenRow {
  readonly granted: readonly number[];
  readonly remaining: number;
  readonly reset_ms: number;
  readonly retry_after_ms: readonly number[];
}

/**
 * Counts in PostgreSQL, in an unlogged table beside that of the keys, one statement a hit: exact over all instances, gone after a
 * crash of the database. The migration of `apiKeyMigrations` makes the table; windows that are over are removed once a minute.
 */
export class PostgresThrottlerStorage extends SharedThrottlerStorage {
  private readonly taken: OneRow<TakenRow>;
  private cleanedAt: number;

  constructor(
    private readonly dataSource: DataSource,
    private readonly now: () => number = () => performance.now(),
  ) {
    super();
    this.cleanedAt = now();
    const take = () => besideKeys(dataSource, 'nestjs_api_key_take');
    this.taken = new OneRow(
      dataSource,
      'nestjs_api_key_take',
      () => `SELECT granted, remaining, reset_ms, retry_after_ms FROM ${take()}($1, $2, $3, $4, $5)`,
    );
  }

  protected override async take(
    key: string,
    { limit, windowMs }: LimitPolicy,
    lots: readonly Lot[],
    timeoutMs: number,
  ): Promise<Taken> {
    this.cleanSometimes();
    const [costs, counts] = [lots.map(({ cost }) => cost), lots.map(({ count }) => count)];
    const row = await this.taken.ask([key, limit, windowMs, costs, counts], timeoutMs);
    const { granted, remaining, reset_ms: resetMs, retry_after_ms: retryAfterMs } = row;
    return { granted, remaining, resetMs, retryAfterMs };
  }

  /** Removes windows that are over. */
  async clean(): Promise<void> {
    await this.dataSource.query(
      `DELETE FROM ${besideKeys(this.dataSource, 'api_key_windows')} WHERE over_at < clock_timestamp() - interval '1 second'`,
    );
  }

  /** Beside the hit, which does not wait; what fails is tried again the next time. */
  private cleanSometimes(): void {
    if (this.now() - this.cleanedAt < CLEAN_EVERY_MS) return;
    this.cleanedAt = this.now();
    this.clean().catch(() => {});
  }
}
