import type { DataSource } from 'typeorm';
import { CountingStatement, IS_READ_COMMITTED } from '../../database/counting-statement';
import { Database } from '../../database/database';
import { number, numbers } from '../../database/fields';
import { asJson, asText } from '../../database/own-names';
import { numberAt } from './number-at';
import { SharedThrottlerStorage, type Taken } from './shared-storage';
import type { Bucket } from './storage';

/** The SQL function that counts. */
const TAKE = 'nestjs_api_key_take_together';
/** Milliseconds between two deletions of expired windows. */
const CLEAN_EVERY_MS = 60_000;

/**
 * Counts in PostgreSQL with one statement for each request. Counts are exact over all instances.
 * The migrations of `apiKeyMigrations` create the table in the schema of `api_keys`. The table is
 * unlogged, so a crash of the database empties it. Expired windows are deleted once a minute.
 */
export class PostgresThrottlerStorage extends SharedThrottlerStorage {
  private readonly database: Database;
  private readonly taken: CountingStatement;
  private cleanedAt: number;

  constructor(
    dataSource: DataSource,
    private readonly now: () => number = () => performance.now(),
  ) {
    super();
    this.cleanedAt = now();
    this.database = new Database(dataSource);
    this.taken = new CountingStatement(
      this.database,
      TAKE,
      (tables) =>
        `SELECT ${asText('granted')}, ${asJson('remaining')} AS remaining, ${asJson('reset_ms::numeric[]')} AS reset_ms,
           ${asJson('retry_after_ms::numeric[]')} AS retry_after_ms
         FROM ${tables.beside(TAKE)}($1, $2, $3, $4, $5) WHERE ${IS_READ_COMMITTED}`,
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
    const remaining = numbers(row, 'remaining');
    const [resetMs, retryAfterMs] = [numbers(row, 'reset_ms'), numbers(row, 'retry_after_ms')];
    const states = buckets.map((_, at) => ({
      remaining: numberAt(remaining, at),
      resetMs: numberAt(resetMs, at),
      retryAfterMs: numberAt(retryAfterMs, at),
    }));
    return { granted: number(row, 'granted'), buckets: states };
  }

  /**
   * Deletes expired windows. Skips a window that is locked by a hit, so that the deletion and the
   * hit do not wait for each other.
   */
  async clean(): Promise<void> {
    await this.database.transaction((session) => {
      const { windows } = session.tables;
      return session.run(
        `DELETE FROM ${windows} WHERE key IN
           (SELECT key FROM ${windows} WHERE over_at < clock_timestamp() - interval '1 second' FOR UPDATE SKIP LOCKED)`,
      );
    });
  }

  /**
   * Runs in the background, so that the hit does not wait. If the deletion fails, the next one
   * retries.
   */
  private cleanSometimes(): void {
    if (this.now() - this.cleanedAt < CLEAN_EVERY_MS) return;
    this.cleanedAt = this.now();
    this.clean().catch(() => {});
  }
}
