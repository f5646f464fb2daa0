import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumns, dropColumns } from './add-columns';
import { existsInOwnSchema } from './own-schema';
import { EXPOSED, feedFunction } from './revocation-feed.migration';
import { HIT_LOCK_TIMEOUT_MS, inTransaction, OWN_SEARCH_PATH, run } from './sql';
import { besideTable, qualifiedName, tableOf } from './table-name';

/** Columns for the quota of a key, and for the quota's calendar period in UTC: `day` or `month`. */
const COLUMNS = { quota: 'integer', quota_period: 'varchar' } as const;

export const USAGE_COLUMNS = Object.keys(COLUMNS);

/** Adds quotas, the function that counts hits on quotas, and the table of the usage of each key. */
export class MeterUsage implements MigrationInterface {
  readonly name = 'MeterUsage1764374400000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      if (await addColumns(runner, tableOf(runner), COLUMNS, usageOf(runner))) {
        await run(runner, createUsage(usageOf(runner)));
        await run(runner, createQuotas(quotasOf(runner)));
      }
      await run(runner, await spendFunction(runner));
      await run(runner, await feedFunction(runner, [...EXPOSED, ...USAGE_COLUMNS]));
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await run(runner, await feedFunction(runner, EXPOSED));
      await run(
        runner,
        `DROP FUNCTION ${besideTable(runner, 'nestjs_api_key_spend')}(bigint, int, text, int[], int[])`,
      );
      await run(runner, `DROP TABLE ${quotasOf(runner)}, ${usageOf(runner)}`);
      await dropColumns(runner, tableOf(runner), COLUMNS);
    });
  }
}

function usageOf(runner: QueryRunner): string {
  return besideTable(runner, 'api_key_usage');
}

function quotasOf(runner: QueryRunner): string {
  return besideTable(runner, 'api_key_quotas');
}

/**
 * Returns the SQL that creates the usage table. The table has no foreign key, because PostgreSQL
 * would then refuse a TRUNCATE of the table of keys. Tests of a Rails app use TRUNCATE.
 */
function createUsage(usage: string): string {
  return `CREATE TABLE ${usage} (
    key_id bigint NOT NULL,
    period varchar NOT NULL,
    starts_at timestamptz NOT NULL,
    requests bigint NOT NULL,
    limited bigint NOT NULL,
    PRIMARY KEY (key_id, period, starts_at)
  ) WITH (fillfactor = 80)`;
}

function createQuotas(quotas: string): string {
  return `CREATE TABLE ${quotas} (
    key_id bigint NOT NULL,
    period varchar NOT NULL,
    starts_at timestamptz NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (key_id, period)
  ) WITH (fillfactor = 66)`;
}

/**
 * Returns the SQL that creates the function that counts hits on a quota, in UTC on the database
 * server's clock. The function locks the row, and then reads the clock, so that hits of one key are
 * counted one after the other. If the clock is set back, an earlier period does not begin again. A
 * lot is a number of hits with the same cost. The function counts the lots in order, and of each
 * lot as many hits as the quota allows.
 */
export async function spendFunction(runner: QueryRunner): Promise<string> {
  const name = await qualifiedName(runner, 'nestjs_api_key_spend');
  const quotas = await qualifiedName(runner, 'api_key_quotas');
  return `CREATE OR REPLACE FUNCTION ${name}(of_key bigint, most int, of_period text, costs int[], counts int[],
      OUT granted int[], OUT remaining int, OUT reset_ms float8)
    LANGUAGE plpgsql SET lock_timeout = ${HIT_LOCK_TIMEOUT_MS} ${OWN_SEARCH_PATH} AS $spend$
    DECLARE
      began timestamptz;
      spent bigint;
      t timestamptz;
      fits int;
      added bigint := 0;
    BEGIN
      granted := '{}';
      remaining := most;
      reset_ms := 0;
      IF cardinality(costs) = 0 THEN RETURN; END IF;
      LOOP
        SELECT q.starts_at, q.used INTO began, spent FROM ${quotas} q WHERE q.key_id = of_key AND q.period = of_period FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO ${quotas} (key_id, period, starts_at, used) VALUES (of_key, of_period, '-infinity', 0) ON CONFLICT DO NOTHING;
      END LOOP;
      t := clock_timestamp();
      IF began < date_trunc(of_period, t, 'UTC') THEN
        began := date_trunc(of_period, t, 'UTC');
        spent := 0;
      END IF;
      FOR lot IN 1..cardinality(costs) LOOP
        fits := greatest(0, least(counts[lot], (most - spent - added) / costs[lot]));
        granted[lot] := fits;
        added := added + fits::bigint * costs[lot];
      END LOOP;
      IF added > 0 THEN
        UPDATE ${quotas} q SET starts_at = began, used = spent + added WHERE q.key_id = of_key AND q.period = of_period;
      END IF;
      remaining := greatest(0, most - spent - added);
      reset_ms := extract(epoch FROM
        (began AT TIME ZONE 'UTC' + ('1 ' || of_period)::interval) AT TIME ZONE 'UTC' - t) * 1000;
    END $spend$`;
}
