import type { MigrationInterface, QueryRunner } from 'typeorm';
import {
  FEED_FUNCTION,
  FEED_TRIGGER_NAMES,
  type FeedTrigger,
  feedTriggerSql,
  REPLICATED_INSERTS,
  type TriggerSql,
} from '../database/feed-triggers';
import { existsInOwnSchema } from './own-schema';
import { filledIn, inTransaction, OWN_SEARCH_PATH, run } from './sql';
import { besideTable, qualifiedName, tableOf } from './table-name';
import { createTrigger } from './triggers';

/**
 * Columns that a cached key exposes. If one of these columns changes, the cache entry is evicted.
 * If only `last_used_at` or `updated_at` changes, the entry stays.
 */
export const EXPOSED: readonly string[] = [
  'id',
  'user_id',
  'name',
  'key_digest',
  'key_prefix',
  'key_suffix',
  'scopes',
  'expires_at',
  'revoked_at',
  'rate_limit',
  'rate_limit_window_seconds',
  'allowed_ips',
  'metadata',
  'replaces_id',
  'created_at',
];

/**
 * Names of the triggers that this migration creates. A later migration creates the trigger for keys
 * that are inserted by replication.
 */
const TRIGGERS = FEED_TRIGGER_NAMES.filter((name) => name !== REPLICATED_INSERTS);

/**
 * Creates the triggers that notify every instance of changes. Creates the table of the trust bound,
 * which is the longest time that an instance trusts its cache.
 */
export class FeedRevocations implements MigrationInterface {
  readonly name = 'FeedRevocations1764028800000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await createTrust(runner);
      await run(runner, await feedFunction(runner, EXPOSED));
      await dropTriggers(runner);
      for (const name of TRIGGERS) await createTrigger(runner, feedTrigger(runner, name));
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await dropTriggers(runner);
      await run(runner, `DROP FUNCTION ${besideTable(runner, FEED_FUNCTION)}()`);
      await run(runner, `DROP TABLE ${besideTable(runner, 'api_key_trust')}`);
    });
  }
}

/**
 * Creates the table of the trust bound. The table has one row: the largest trust bound of any
 * instance.
 */
async function createTrust(runner: QueryRunner): Promise<void> {
  const table = besideTable(runner, 'api_key_trust');
  await run(
    runner,
    `CREATE TABLE IF NOT EXISTS ${table} (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), trust_ms bigint NOT NULL)`,
  );
  await run(runner, `INSERT INTO ${table} (trust_ms) VALUES (2000) ON CONFLICT DO NOTHING`);
}

/** SQL array of the columns whose changes send no notification. */
const UNTOLD = "'{last_used_at,updated_at}'";

/**
 * SQL of the trigger function that sends notifications of changed keys. The function compares rows
 * itself, because a trigger with a condition would forbid type changes of the columns in the
 * condition. A partition notifies on the channel of its root table.
 *
 * A session keeps the plan of a comparison. The plan fails after somebody changes the type of a
 * column. Rows are then compared as jsonb, which is twice as slow. If a column is missing, for
 * example after a rename, all other columns are compared. A row that cannot be compared counts as
 * changed.
 */
const FEED = `CREATE OR REPLACE FUNCTION {{name}}() RETURNS trigger LANGUAGE plpgsql ${OWN_SEARCH_PATH} AS $feed$
    DECLARE
      channel text := 'nestjs_api_key_feed_' || coalesce(pg_partition_root(TG_RELID), TG_RELID)::oid::text;
      key_id text;
      is_changed boolean := true;
      is_rekeyed boolean := false;
      before jsonb;
      after jsonb;
    BEGIN
      IF TG_OP = 'TRUNCATE' THEN
        PERFORM {{notify}}(channel, '*');
        RETURN NULL;
      ELSIF TG_OP = 'INSERT' THEN
        PERFORM {{notify}}(channel, '+');
        RETURN NULL;
      END IF;
      BEGIN
        key_id := OLD.id::text;
        IF TG_OP = 'UPDATE' THEN
          is_changed := {{oldRow}} IS DISTINCT FROM {{newRow}};
          is_rekeyed := OLD.key_digest IS DISTINCT FROM NEW.key_digest;
        END IF;
      EXCEPTION WHEN OTHERS THEN
        BEGIN
          before := to_jsonb(OLD);
          key_id := before ->> 'id';
          IF TG_OP = 'UPDATE' THEN
            after := to_jsonb(NEW);
            IF before ?& {{columns}} THEN
              is_changed := EXISTS (SELECT FROM unnest({{columns}}) AS c WHERE before -> c IS DISTINCT FROM after -> c);
            ELSE
              is_changed := before - ${UNTOLD}::text[] IS DISTINCT FROM after - ${UNTOLD}::text[];
            END IF;
            is_rekeyed := before -> 'key_digest' IS DISTINCT FROM after -> 'key_digest';
          END IF;
        EXCEPTION WHEN OTHERS THEN
          key_id := NULL;
          is_changed := true;
        END;
      END;
      IF is_changed THEN PERFORM {{notify}}(channel, coalesce(key_id, '*')); END IF;
      IF is_rekeyed THEN PERFORM {{notify}}(channel, '+'); END IF;
      RETURN NULL;
    END $feed$`;

/**
 * Returns the SQL that creates the trigger function that sends notifications of changed keys.
 * @param exposed the columns that a cached key exposes
 * @param notify the function that sends the notification
 */
export async function feedFunction(
  runner: QueryRunner,
  exposed: readonly string[],
  notify: string = 'pg_notify',
): Promise<string> {
  const row = (record: string) => `ROW(${exposed.map((column) => `${record}.${column}`).join(', ')})`;
  return filledIn(FEED, {
    name: await qualifiedName(runner, FEED_FUNCTION),
    notify,
    columns: `'{${exposed.join(',')}}'::text[]`,
    oldRow: row('OLD'),
    newRow: row('NEW'),
  });
}

/** Returns the SQL of each trigger of the revocation feed, by trigger name. */
export function feedTriggers(runner: QueryRunner): ReadonlyMap<string, TriggerSql> {
  return new Map(FEED_TRIGGER_NAMES.map((name) => [name, feedTrigger(runner, name)]));
}

export function feedTrigger(runner: QueryRunner, name: FeedTrigger): TriggerSql {
  return feedTriggerSql(name, tableOf(runner), besideTable(runner, FEED_FUNCTION));
}

async function dropTriggers(runner: QueryRunner): Promise<void> {
  for (const name of TRIGGERS) await run(runner, `DROP TRIGGER IF EXISTS ${name} ON ${tableOf(runner)}`);
}
