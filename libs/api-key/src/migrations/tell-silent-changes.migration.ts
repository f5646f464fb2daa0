import type { MigrationInterface, QueryRunner } from 'typeorm';
import { number, text } from '../database/fields';
import { existsInOwnSchema } from './own-schema';
import { feedFunction } from './revocation-feed.migration';
import { inTransaction, OWN_SEARCH_PATH, row, run } from './sql';
import { type Qualify, qualifier, tableOf } from './table-name';
import { tellFunction } from './tell-function';
import { EXPOSED_WITH_LINEAGE } from './trace-lineage.migration';
import { findOwnerFeed, ownerFeedFunction } from './watch-users.migration';

const OLDEST_SERVER = 130_000;

/**
 * Usage of the notification queue, from 0 to 1, from which changes send no notification. Otherwise,
 * commits would fail when the queue is full.
 */
const FULL_FROM = 0.9;

/**
 * Lets changes succeed while the notification queue is full. Records these silent changes, so that
 * instances notice them without a notification.
 */
export class TellSilentChanges implements MigrationInterface {
  readonly name = 'TellSilentChanges1764633600000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await refuseOldServer(runner);
      await existsInOwnSchema(runner, tableOf(runner));
      const qualify = await qualifier(runner);
      await run(runner, createSilentChanges(qualify));
      await run(runner, markFunction(qualify));
      await run(runner, tellFunctionIn(qualify));
      await grant(runner, qualify);
      await replaceFeeds(runner, tellFunction(qualify));
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      const qualify = await qualifier(runner);
      await replaceFeeds(runner, 'pg_notify');
      await run(runner, `DROP FUNCTION ${tellFunction(qualify)}(text, text)`);
      await run(runner, `DROP FUNCTION ${qualify('nestjs_api_key_mark_silent')}()`);
      await run(runner, `DROP TABLE ${qualify('api_key_silent_changes')}`);
    });
  }
}

async function refuseOldServer(runner: QueryRunner): Promise<void> {
  const server = await row(
    runner,
    `SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS version`,
  );
  if (number(server, 'number') >= OLDEST_SERVER) return;
  throw new Error(
    `nestjs-api-key: PostgreSQL 13 or later is needed, and this server is ${text(server, 'version')}. ` +
      'Upgrade it, and migrate again; nothing was changed.',
  );
}

/**
 * Installs new versions of the trigger function that sends notifications of changed keys. Does the
 * same for the trigger function for owners, if the database has it.
 * @param notify the function that the trigger functions call to send a notification
 * @param exposed the columns that a cached key exposes
 */
export async function replaceFeeds(
  runner: QueryRunner,
  notify: string,
  exposed: readonly string[] = EXPOSED_WITH_LINEAGE,
): Promise<void> {
  await run(runner, await feedFunction(runner, exposed, notify));
  if (await findOwnerFeed(runner)) await run(runner, await ownerFeedFunction(runner, notify));
}

/**
 * Returns the SQL that creates the table of silent changes. The table has one row for each
 * transaction that could not notify the instances. If all transactions updated a single row, each
 * would wait for the commit of the previous one. They could also deadlock, or fail under REPEATABLE
 * READ. The column `at` distinguishes the rows of a restored dump from transactions with the same
 * id in a new cluster.
 */
function createSilentChanges(qualify: Qualify): string {
  return `CREATE TABLE IF NOT EXISTS ${qualify('api_key_silent_changes')} (xact xid8, at timestamptz, PRIMARY KEY (xact, at))`;
}

/**
 * Returns the SQL that creates the function that records a silent change. The function is SECURITY
 * DEFINER: a role that writes users or keys, such as that of a Rails app, may have no privilege on
 * the table of silent changes.
 */
export function markFunction(qualify: Qualify): string {
  return `CREATE OR REPLACE FUNCTION ${qualify('nestjs_api_key_mark_silent')}() RETURNS void LANGUAGE sql
    SECURITY DEFINER ${OWN_SEARCH_PATH} AS $mark$
      INSERT INTO ${qualify('api_key_silent_changes')} (xact, at) VALUES (pg_current_xact_id(), now()) ON CONFLICT DO NOTHING
    $mark$`;
}

/**
 * Returns the SQL that creates the function that sends notifications of changes. The function
 * checks the notification queue once in each transaction. One check is enough, because the
 * notifications of a transaction enter the queue only at commit.
 */
export function tellFunctionIn(qualify: Qualify): string {
  return `CREATE OR REPLACE FUNCTION ${tellFunction(qualify)}(channel text, payload text) RETURNS void LANGUAGE plpgsql ${OWN_SEARCH_PATH} AS $tell$
    DECLARE silent text := pg_catalog.current_setting('nestjs_api_key.silent', true);
    BEGIN
      IF silent IS NULL OR silent NOT IN ('on', 'off') THEN
        silent := CASE WHEN pg_catalog.pg_notification_queue_usage() >= ${FULL_FROM} THEN 'on' ELSE 'off' END;
        PERFORM pg_catalog.set_config('nestjs_api_key.silent', silent, true);
      END IF;
      IF silent = 'on' THEN
        PERFORM ${qualify('nestjs_api_key_mark_silent')}();
      ELSE
        PERFORM pg_catalog.pg_notify(channel, payload);
      END IF;
    END $tell$`;
}

/**
 * Lets every role call the functions, because writes of any role fire the triggers. The default
 * privileges of the database may not allow these calls.
 */
async function grant(runner: QueryRunner, qualify: Qualify): Promise<void> {
  await run(
    runner,
    `GRANT EXECUTE ON FUNCTION ${qualify('nestjs_api_key_mark_silent')}(), ${tellFunction(qualify)}(text, text) TO PUBLIC`,
  );
}
