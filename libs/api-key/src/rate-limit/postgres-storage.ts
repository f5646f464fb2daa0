import type { DataSource } from 'typeorm';
import { besideKeys } from '../verification/api-key.row';
import { askPool } from './ask-pool';
import type { LimitPolicy } from './sliding-window';
import { SharedThrottlerStorage, type Taken } from './shared-storage';

/** How often what nobody uses any more is removed. */
const CLEAN_EVERY_MS = 60_000;

interface TakenRow {
  readonly granted: number;
  readonly remaining: number;
  readonly reset_ms: number;
  readonly retry_after_ms: number;
}

/**
 * Counts in PostgreSQL, in an unlogged table beside that of the keys, one statement a hit: exact over all instances, gone after a
 * crash of the database. The migration of `apiKeyMigrations` makes the table; windows that are over are removed once a minute.
 */
export class PostgresThrottlerStorage extends SharedThrottlerStorage {
  private cleanedAt: number;

  constructor(
    private readonly dataSource: DataSource,
    private readonly now: () => number = () => performance.now(),
  ) {
    super();
    this.cleanedAt = now();
  }

  protected override async take(
    key: string,
    { limit, windowMs }: LimitPolicy,
    cost: number,
    count: number,
  ): Promise<Taken> {
    this.cleanSometimes();
    const {
      granted,
      remaining,
      reset_ms: resetMs,
      retry_after_ms: retryAfterMs,
    } = await askPool<TakenRow>(this.dataSource, {
      name: 'nestjs_api_key_take',
      text: `SELECT granted, remaining, reset_ms, retry_after_ms FROM ${besideKeys(this.dataSource, 'nestjs_api_key_take')}($1, $2, $3, $4, $5)`,
      values: [key, limit, windowMs, cost, count],
    });
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
