import type { DataSource } from 'typeorm';
import { besideKeys } from '../verification/api-key.row';
import { OneRow } from './one-row';
import { SharedThrottlerStorage, type Taken } from './shared-storage';
import type { Bucket } from './storage';

/** How often what nobody uses any more is removed. */
const CLEAN_EVERY_MS = 60_000;

interface TakenRow {
  readonly granted: number;
  readonly remaining: readonly number[];
  readonly reset_ms: readonly number[];
  readonly retry_after_ms: readonly number[];
}

/**
 * Counts in PostgreSQL, in an unlogged table beside that of the keys, one statement a request:
 * exact over all instances, gone after a crash of the database. The migration of `apiKeyMigrations`
 * makes the table; windows that are over are removed once a minute.
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
    const take = () => besideKeys(dataSource, 'nestjs_api_key_take_together');
    this.taken = new OneRow(
      dataSource,
      'nestjs_api_key_take_together',
      () => `SELECT granted, remaining, reset_ms, retry_after_ms FROM ${take()}($1, $2, $3, $4, $5)`,
    );
  }

  protected override async take(
    buckets: readonly Bucket[],
    cost: number,
    count: number,
    timeoutMs: number,
  ): Promise<Taken> {
    this.cleanSometimes();
    const keys = buckets.map(({ key }) => key);
    const limits = buckets.map(({ policy }) => policy.limit);
    const windows = buckets.map(({ policy }) => policy.windowMs);
    const row = await this.taken.ask([keys, limits, windows, cost, count], timeoutMs);
    const states = buckets.map((_, at) => ({
      remaining: row.remaining[at] ?? 0,
      resetMs: row.reset_ms[at] ?? 0,
      retryAfterMs: row.retry_after_ms[at] ?? 0,
    }));
    return { granted: row.granted, buckets: states };
  }

  /**
   * Removes windows that are over. One that is counted at this moment is left alone, so that
   * neither waits for the other.
   */
  async clean(): Promise<void> {
    const windows = besideKeys(this.dataSource, 'api_key_windows');
    await this.dataSource.query(
      `DELETE FROM ${windows} WHERE key IN
         (SELECT key FROM ${windows} WHERE over_at < clock_timestamp() - interval '1 second' FOR UPDATE SKIP LOCKED)`,
    );
  }

  /** Beside the hit, which does not wait; what fails is tried again the next time. */
  private cleanSometimes(): void {
    if (this.now() - this.cleanedAt < CLEAN_EVERY_MS) return;
    this.cleanedAt = this.now();
    this.clean().catch(() => {});
  }
}
