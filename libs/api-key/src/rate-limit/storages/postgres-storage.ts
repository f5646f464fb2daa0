import type { DataSource } from 'typeorm';
import { CountingStatement, IS_READ_COMMITTED } from '../../database/counting-statement';
import { Database } from '../../database/database';
import { number, numbers } from '../../database/fields';
import { asJson, asText } from '../../database/own-names';
import { SharedThrottlerStorage, type Taken } from './shared-storage';
import type { Bucket } from './storage';

/** The function that counts. */
const TAKE = 'nestjs_api_key_take_together';
/** How often what nobody uses any more is removed. */
const CLEAN_EVERY_MS = 60_000;

/**
 * Counts in PostgreSQL, in an unlogged table beside that of the keys, one statement a request:
 * exact over all instances, gone after a crash of the database. The migration of `apiKeyMigrations`
 * makes the table; windows that are over are removed once a minute.
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
      remaining: remaining[at] ?? 0,
      resetMs: resetMs[at] ?? 0,
      retryAfterMs: retryAfterMs[at] ?? 0,
    }));
    return { granted: number(row, 'granted'), buckets: states };
  }

  /**
   * Removes windows that are over. One that is counted at this moment is left alone, so that
   * neither waits for the other.
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

  /** Beside the hit, which does not wait; what fails is tried again the next time. */
  private cleanSometimes(): void {
    if (this.now() - this.cleanedAt < CLEAN_EVERY_MS) return;
    this.cleanedAt = this.now();
    this.clean().catch(() => {});
  }
}
