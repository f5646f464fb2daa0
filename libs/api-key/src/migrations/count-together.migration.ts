import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumns, dropColumns } from './add-columns';
import { existsInOwnSchema } from './own-schema';
import { filledIn, HIT_LOCK_TIMEOUT_MS, inTransaction, OWN_SEARCH_PATH, run } from './sql';
import { besideTable, qualifiedName, tableOf } from './table-name';

const TAKE = 'nestjs_api_key_take_together';
const SPEND = 'nestjs_api_key_spend_together';
/**
 * Milliseconds for which a window is kept, so that a longer window can use it, as in
 * `SlidingWindow`.
 */
const COLUMNS = { keep_ms: 'float8 NOT NULL DEFAULT 3600000' } as const;

/**
 * Adds the functions that count a request on several limits at once. If the window of a limit or
 * the period of a quota changes, these functions keep the counted use. The functions of older
 * versions remain, for instances that are not yet upgraded. Old and new functions count in the same
 * rows.
 */
export class CountTogether implements MigrationInterface {
  readonly name = 'CountTogether1764547200000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      const [windows, quotas] = [windowsOf(runner), quotasOf(runner)];
      if (await addColumns(runner, windows, COLUMNS, null)) await run(runner, carryOver(quotas));
      await run(runner, await takeTogether(runner));
      await run(runner, await spendTogether(runner));
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await run(runner, `DROP FUNCTION ${takeOf(runner)}(text[], int[], float8[], int, int)`);
      await run(runner, `DROP FUNCTION ${spendOf(runner)}(bigint[], int[], text[], int, int)`);
      await dropColumns(runner, windowsOf(runner), COLUMNS);
    });
  }
}

const windowsOf = (runner: QueryRunner) => besideTable(runner, 'api_key_windows');
const quotasOf = (runner: QueryRunner) => besideTable(runner, 'api_key_quotas');
const takeOf = (runner: QueryRunner) => besideTable(runner, TAKE);
const spendOf = (runner: QueryRunner) => besideTable(runner, SPEND);

/**
 * Returns SQL that converts the counted use. Old rows do not contain how much of a month's use was
 * today's use. So all use of the month also counts for today, and today's use also counts for the
 * month.
 */
function carryOver(quotas: string): string {
  return `INSERT INTO ${quotas} AS q (key_id, period, starts_at, used)
    SELECT key_id, other, date_trunc(other, now(), 'UTC'), used
    FROM (SELECT *, CASE period WHEN 'day' THEN 'month' ELSE 'day' END AS other FROM ${quotas}) AS spent
    WHERE starts_at >= date_trunc(period, now(), 'UTC')
    ON CONFLICT (key_id, period) DO UPDATE SET starts_at = greatest(q.starts_at, excluded.starts_at),
      used = CASE WHEN q.starts_at < excluded.starts_at THEN excluded.used ELSE greatest(q.used, excluded.used) END`;
}

/**
 * SQL of the function that counts a request on several rate limits, with the algorithm of
 * `SlidingWindow`. Times are milliseconds of the database server's clock. The function locks all
 * rows, and then reads the clock. The caller sorts the keys, so that two calls never deadlock. Only
 * older versions fill the column `since`, and those versions can count without it. If the clock is
 * set back, no entry is lost.
 */
const TAKE_FUNCTION = `CREATE OR REPLACE FUNCTION {{name}}(keys text[], limits int[], windows float8[], hit_cost int, hits int,
      OUT granted int, OUT remaining int[], OUT reset_ms float8[], OUT retry_after_ms float8[])
    LANGUAGE plpgsql SET lock_timeout = ${HIT_LOCK_TIMEOUT_MS} ${OWN_SEARCH_PATH} AS $take$
    DECLARE
      ends float8[];
      costs int[];
      tail_ends float8[];
      tail_costs int[];
      gone int[] := '{}';
      used bigint[] := '{}';
      t float8;
      kept float8;
      keep float8;
      cell float8;
      n int;
      spent int;
    BEGIN
      granted := hits;
      remaining := '{}';
      reset_ms := '{}';
      retry_after_ms := '{}';
      FOR i IN 1..cardinality(keys) LOOP
        LOOP
          SELECT w.until, w.cost, w.keep_ms INTO ends, costs, kept FROM {{windows}} w WHERE w.key = keys[i] FOR UPDATE;
          EXIT WHEN FOUND;
          INSERT INTO {{windows}} (key) VALUES (keys[i]) ON CONFLICT DO NOTHING;
        END LOOP;
        t := greatest(t, ends[cardinality(ends)]);
      END LOOP;
      t := greatest(t, extract(epoch FROM clock_timestamp()) * 1000);
      FOR i IN 1..cardinality(keys) LOOP
        IF cardinality(keys) > 1 THEN
          SELECT w.until, w.cost, w.keep_ms INTO ends, costs, kept FROM {{windows}} w WHERE w.key = keys[i];
        END IF;
        n := 0;
        WHILE n < cardinality(ends) AND ends[n + 1] <= t - windows[i] LOOP n := n + 1; END LOOP;
        gone[i] := n;
        used[i] := coalesce((SELECT sum(c) FROM unnest(costs[n + 1:]) c), 0);
        granted := greatest(0, least(granted, (limits[i] - used[i]) / hit_cost));
      END LOOP;
      spent := granted * hit_cost;
      FOR i IN 1..cardinality(keys) LOOP
        IF cardinality(keys) > 1 THEN
          SELECT w.until, w.cost, w.keep_ms INTO ends, costs, kept FROM {{windows}} w WHERE w.key = keys[i];
        END IF;
        keep := greatest(kept, windows[i]);
        tail_ends := '{}';
        tail_costs := '{}';
        IF spent > 0 THEN
          n := 0;
          cell := keep / 64;
          FOR j IN 1..gone[i] LOOP
            CONTINUE WHEN ends[j] <= t - keep;
            IF n > 0 AND floor(tail_ends[n] / cell) = floor(ends[j] / cell) THEN
              tail_costs[n] := least(1000000001, tail_costs[n]::bigint + costs[j]);
            ELSE
              n := n + 1;
              tail_costs[n] := costs[j];
            END IF;
            tail_ends[n] := ends[j];
          END LOOP;
        END IF;
        ends := ends[gone[i] + 1:];
        costs := costs[gone[i] + 1:];
        IF spent > 0 THEN
          n := cardinality(ends);
          cell := windows[i] / 256;
          IF limits[i] > 256 AND n > 0 AND floor(ends[n] / cell) = floor(t / cell) THEN
            costs[n] := costs[n] + spent;
          ELSE
            n := n + 1;
            costs[n] := spent;
          END IF;
          ends[n] := t;
          used[i] := used[i] + spent;
          IF n > 512 THEN
            SELECT array_agg(f.u ORDER BY f.u), array_agg(f.c ORDER BY f.u) INTO ends, costs FROM (
              SELECT max(e.u) AS u, least(1000000001, sum(e.c))::int AS c
              FROM unnest(ends, costs) AS e (u, c) GROUP BY floor(e.u / cell)) AS f;
          END IF;
          UPDATE {{windows}} w SET since = '{}', until = tail_ends || ends, cost = tail_costs || costs, keep_ms = keep,
            over_at = to_timestamp((t + keep) / 1000) WHERE w.key = keys[i];
        ELSIF keep > kept THEN
          UPDATE {{windows}} w SET keep_ms = keep, over_at = to_timestamp((t + keep) / 1000) WHERE w.key = keys[i];
        END IF;
        remaining[i] := greatest(0, limits[i] - used[i]);
        reset_ms[i] := coalesce(windows[i] - (t - ends[1]), 0);
        retry_after_ms[i] := 0;
        CONTINUE WHEN granted = hits OR used[i] + hit_cost <= limits[i];
        retry_after_ms[i] := windows[i];
        FOR j IN 1..cardinality(ends) LOOP
          used[i] := used[i] - costs[j];
          IF used[i] + hit_cost <= limits[i] THEN
            retry_after_ms[i] := windows[i] - (t - ends[j]);
            EXIT;
          END IF;
        END LOOP;
      END LOOP;
    END $take$`;

/** Returns the SQL that creates the function that counts a request on several rate limits. */
export async function takeTogether(runner: QueryRunner): Promise<string> {
  const name = await qualifiedName(runner, TAKE);
  return filledIn(TAKE_FUNCTION, { name, windows: await qualifiedName(runner, 'api_key_windows') });
}

/**
 * SQL of the function that counts a request on several quotas, in UTC on the database server's
 * clock. The function locks all rows, and then reads the clock. The caller sorts the keys. Each use
 * counts for the day and for the month, so that a quota can change its period. If the clock is set
 * back, an earlier period does not begin again.
 */
const SPEND_FUNCTION = `CREATE OR REPLACE FUNCTION {{name}}(keys bigint[], limits int[], periods text[], hit_cost int, hits int,
      OUT granted int, OUT remaining int[], OUT reset_ms float8[])
    LANGUAGE plpgsql SET lock_timeout = ${HIT_LOCK_TIMEOUT_MS} ${OWN_SEARCH_PATH} AS $spend$
    DECLARE
      spent bigint;
      began timestamptz;
      used bigint[] := '{}';
      ends timestamptz[] := '{}';
      t timestamptz;
      found_rows int;
    BEGIN
      granted := hits;
      remaining := '{}';
      reset_ms := '{}';
      FOR i IN 1..cardinality(keys) LOOP
        LOOP
          PERFORM FROM {{quotas}} q WHERE q.key_id = keys[i] ORDER BY q.period FOR UPDATE;
          GET DIAGNOSTICS found_rows = ROW_COUNT;
          EXIT WHEN found_rows = 2;
          INSERT INTO {{quotas}} (key_id, period, starts_at, used)
            VALUES (keys[i], 'day', '-infinity', 0), (keys[i], 'month', '-infinity', 0) ON CONFLICT DO NOTHING;
        END LOOP;
      END LOOP;
      t := clock_timestamp();
      UPDATE {{quotas}} q SET starts_at = date_trunc(q.period, t, 'UTC'), used = 0
        WHERE q.key_id = ANY (keys) AND q.starts_at < date_trunc(q.period, t, 'UTC');
      FOR i IN 1..cardinality(keys) LOOP
        SELECT q.used, q.starts_at INTO spent, began FROM {{quotas}} q WHERE q.key_id = keys[i] AND q.period = periods[i];
        used[i] := spent;
        ends[i] := (began AT TIME ZONE 'UTC' + ('1 ' || periods[i])::interval) AT TIME ZONE 'UTC';
        granted := greatest(0, least(granted, (limits[i] - used[i]) / hit_cost));
      END LOOP;
      IF granted > 0 THEN
        UPDATE {{quotas}} q SET used = q.used + granted * hit_cost WHERE q.key_id = ANY (keys);
      END IF;
      FOR i IN 1..cardinality(keys) LOOP
        remaining[i] := greatest(0, limits[i] - used[i] - granted * hit_cost);
        reset_ms[i] := extract(epoch FROM ends[i] - t) * 1000;
      END LOOP;
    END $spend$`;

/** Returns the SQL that creates the function that counts a request on several quotas. */
export async function spendTogether(runner: QueryRunner): Promise<string> {
  const name = await qualifiedName(runner, SPEND);
  return filledIn(SPEND_FUNCTION, { name, quotas: await qualifiedName(runner, 'api_key_quotas') });
}
