import type { MigrationInterface, QueryRunner } from 'typeorm';
import { existsInOwnSchema } from './own-schema';
import { filledIn, HIT_LOCK_TIMEOUT_MS, inTransaction, OWN_SEARCH_PATH, run } from './sql';
import { besideTable, qualifiedName, tableOf } from './table-name';

/**
 * Creates the table in which `PostgresThrottlerStorage` counts hits, and the function that counts
 * them.
 */
export class LimitRates implements MigrationInterface {
  readonly name = 'LimitRates1764201600000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await run(runner, createWindows(windowsOf(runner)));
      await run(runner, await takeFunction(runner));
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await run(
        runner,
        `DROP FUNCTION ${besideTable(runner, 'nestjs_api_key_take')}(text, int, float8, int[], int[])`,
      );
      await run(runner, `DROP TABLE ${windowsOf(runner)}`);
    });
  }
}

function windowsOf(runner: QueryRunner): string {
  return besideTable(runner, 'api_key_windows');
}

/**
 * Returns the SQL that creates the table of windows. A third of each page stays free, so that an
 * updated row stays in its page.
 */
function createWindows(windows: string): string {
  return `CREATE UNLOGGED TABLE IF NOT EXISTS ${windows} (
    key text PRIMARY KEY,
    since float8[] NOT NULL DEFAULT '{}',
    until float8[] NOT NULL DEFAULT '{}',
    cost int[] NOT NULL DEFAULT '{}',
    over_at timestamptz NOT NULL DEFAULT clock_timestamp()
  ) WITH (fillfactor = 66)`;
}

/**
 * SQL of the function that counts the hits of one key, with the algorithm of `SlidingWindow`. Times
 * are milliseconds of the database server's clock. The function locks the row, and then reads the
 * clock, so that hits of one key are counted one after the other. A lot is a number of hits with
 * the same cost. The function counts the lots in order, and of each lot as many hits as the limit
 * allows. If the clock is set back, no entry is lost.
 */
const TAKE = `CREATE OR REPLACE FUNCTION {{name}}(k text, most int, window_ms float8, costs int[], counts int[],
      OUT granted int[], OUT remaining int, OUT reset_ms float8, OUT retry_after_ms float8[])
    LANGUAGE plpgsql SET lock_timeout = ${HIT_LOCK_TIMEOUT_MS} ${OWN_SEARCH_PATH} AS $take$
    DECLARE
      begins float8[];
      ends float8[];
      spendings int[];
      t float8;
      gone int := 0;
      used int := 0;
      total int;
      spent int := 0;
      fits int;
      freed int;
    BEGIN
      granted := '{}';
      retry_after_ms := '{}';
      remaining := most;
      reset_ms := 0;
      IF cardinality(costs) = 0 THEN RETURN; END IF;
      LOOP
        SELECT w.since, w.until, w.cost INTO begins, ends, spendings FROM {{windows}} w WHERE w.key = k FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {{windows}} (key) VALUES (k) ON CONFLICT DO NOTHING;
      END LOOP;
      total := cardinality(ends);
      t := greatest(extract(epoch FROM clock_timestamp()) * 1000, ends[total]);
      WHILE gone < total AND ends[gone + 1] <= t - window_ms LOOP gone := gone + 1; END LOOP;
      begins := begins[gone + 1:];
      ends := ends[gone + 1:];
      spendings := spendings[gone + 1:];
      total := total - gone;
      used := coalesce((SELECT sum(c) FROM unnest(spendings) c), 0);
      FOR lot IN 1..cardinality(costs) LOOP
        fits := greatest(0, least(counts[lot], (most - used - spent) / costs[lot]));
        granted[lot] := fits;
        spent := spent + fits * costs[lot];
      END LOOP;
      used := used + spent;
      IF spent > 0 THEN
        IF total > 0 AND t - begins[total] <= (CASE WHEN most > 256 THEN window_ms / 256 ELSE 0 END) THEN
          ends[total] := t;
          spendings[total] := spendings[total] + spent;
        ELSE
          total := total + 1;
          begins[total] := t;
          ends[total] := t;
          spendings[total] := spent;
        END IF;
        UPDATE {{windows}} w SET since = begins, until = ends, cost = spendings,
          over_at = to_timestamp((t + window_ms) / 1000) WHERE w.key = k;
      END IF;
      remaining := greatest(0, most - used);
      reset_ms := coalesce(window_ms - (t - ends[1]), 0);
      FOR lot IN 1..cardinality(costs) LOOP
        retry_after_ms[lot] := 0;
        CONTINUE WHEN granted[lot] = counts[lot];
        retry_after_ms[lot] := window_ms;
        freed := 0;
        FOR i IN 1..total LOOP
          freed := freed + spendings[i];
          IF used - freed + costs[lot] <= most THEN
            retry_after_ms[lot] := window_ms - (t - ends[i]);
            EXIT;
          END IF;
        END LOOP;
      END LOOP;
    END $take$`;

/** Returns the SQL that creates the function that counts the hits of one key. */
export async function takeFunction(runner: QueryRunner): Promise<string> {
  const name = await qualifiedName(runner, 'nestjs_api_key_take');
  return filledIn(TAKE, { name, windows: await qualifiedName(runner, 'api_key_windows') });
}
