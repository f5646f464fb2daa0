import { CountingStatement, IS_READ_COMMITTED } from '../../database/counting-statement';
import type { Database } from '../../database/database';
import { number, numbers } from '../../database/fields';
import { asJson, asText } from '../../database/own-names';
import { numberAt } from './number-at';
import { SharedThrottlerStorage, type Taken } from './shared-storage';
import { periodOf } from './sliding-window';
import type { Bucket } from './storage';

/** The SQL function that counts. */
const SPEND = 'nestjs_api_key_spend_together';

/**
 * Counts quotas in PostgreSQL by the id of the key. Counts are exact over all instances, and
 * survive a restart of the database.
 */
export class QuotaStorage extends SharedThrottlerStorage {
  private readonly spent: CountingStatement;

  constructor(database: Database) {
    super();
    this.spent = new CountingStatement(
      database,
      SPEND,
      (tables) =>
        `SELECT ${asText('granted')}, ${asJson('remaining')} AS remaining, ${asJson('reset_ms::numeric[]')} AS reset_ms
         FROM ${tables.beside(SPEND)}($1, $2, $3, $4, $5) WHERE ${IS_READ_COMMITTED}`,
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
    const periods = buckets.map(({ policy }) => periodOf(policy));
    const row = await this.spent.ask([ids, limits, periods, cost, count], timeoutMs);
    const granted = number(row, 'granted');
    const [lefts, resets] = [numbers(row, 'remaining'), numbers(row, 'reset_ms')];
    const states = buckets.map((_, at) => {
      const [remaining, resetMs] = [numberAt(lefts, at), numberAt(resets, at)];
      return { remaining, resetMs, retryAfterMs: granted < count && remaining < cost ? resetMs : 0 };
    });
    return { granted, buckets: states };
  }
}
