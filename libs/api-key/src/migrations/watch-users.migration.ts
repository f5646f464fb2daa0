import type { MigrationInterface, QueryRunner } from 'typeorm';
import { enableTrigger, type TriggerSql } from '../database/feed-triggers';
import { objectName } from '../database/keys-table';
import { quoteLiteral, quoteName } from '../database/names';
import { migratedTables } from '../database/session-of';
import { existsInOwnSchema } from './own-schema';
import { functionExists, inTransaction, OWN_SEARCH_PATH, run, tableExists } from './sql';
import { besideTable, nameOf, qualifiedName, tableOf } from './table-name';
import { notifyFunction } from './tell-function';
import { createTrigger, RESTORE, type Restoring, restoreTriggers } from './triggers';

/** Options that decide which changes of a user make every instance call `loadUser` again. */
export interface WatchUsersOptions {
  /**
   * Columns whose changes are ignored, for example `last_seen_at`. If only these columns change, no
   * notification is sent.
   */
  ignore?: readonly string[];
}

const FUNCTION = 'nestjs_api_key_owner_feed';

const EVENTS = {
  change: 'AFTER UPDATE OR DELETE ON %s FOR EACH ROW',
  truncate: 'AFTER TRUNCATE ON %s FOR EACH STATEMENT',
} as const;

/**
 * Maximum length of an owner's id in a notification, in bytes. A payload is limited to 8,000 bytes.
 */
const LONGEST_ID_BYTES = 7_000;

/**
 * Returns a migration that creates triggers on the users table. If the row of a user changes or is
 * deleted, every instance evicts the cached result of `loadUser`. If the users table does not exist
 * yet, `ReferenceUsers` creates the triggers.
 */
export function watchUsers(usersTable: string, options: WatchUsersOptions): new () => MigrationInterface {
  return class WatchUsers implements MigrationInterface, Restoring {
    readonly name = 'WatchUsers1764115200000';

    up(runner: QueryRunner): Promise<void> {
      return inTransaction(runner, async () => {
        if (await tableExists(runner, quoteName(usersTable)))
          await install(runner, quoteName(usersTable), options);
      });
    }

    /** Creates the missing triggers after another table has replaced the users table. */
    async [RESTORE](runner: QueryRunner): Promise<void> {
      const users = quoteName(usersTable);
      if (!(await tableExists(runner, users)) || !(await tableExists(runner, tableOf(runner)))) return;
      await restoreWatch(runner, users, options);
    }

    down(runner: QueryRunner): Promise<void> {
      return inTransaction(runner, async () => {
        await dropTriggers(runner, quoteName(usersTable));
        await run(runner, `DROP FUNCTION IF EXISTS ${besideTable(runner, FUNCTION)}()`);
      });
    }
  };
}

async function install(runner: QueryRunner, users: string, options: WatchUsersOptions): Promise<void> {
  await existsInOwnSchema(runner, tableOf(runner));
  await run(runner, await ownerFeedFunction(runner, await notifyFunction(runner)));
  await dropTriggers(runner, users);
  for (const trigger of ownerTriggers(runner, users, options).values()) await createTrigger(runner, trigger);
}

/** Creates the trigger function and the triggers of owners if they are missing. */
export async function restoreWatch(
  runner: QueryRunner,
  users: string,
  options: WatchUsersOptions,
): Promise<void> {
  if (!(await findOwnerFeed(runner)))
    await run(runner, await ownerFeedFunction(runner, await notifyFunction(runner)));
  await restoreTriggers(runner, users, ownerTriggers(runner, users, options));
}

/** Returns the SQL of each trigger, by the name of the trigger. */
function ownerTriggers(
  runner: QueryRunner,
  users: string,
  { ignore = [] }: WatchUsersOptions,
): ReadonlyMap<string, TriggerSql> {
  const call = `EXECUTE FUNCTION ${besideTable(runner, FUNCTION)}(${ignore.map(quoteLiteral).join(', ')})`;
  return new Map(
    Object.entries(EVENTS).map(([of, event]) => {
      const object = `nestjs_api_key_owner_${of}`;
      const name = nameOf(runner, object);
      const create = `CREATE TRIGGER ${name} ${event.replace('%s', () => users)} ${call}`;
      return [
        objectName(migratedTables(runner).name, object),
        { create, enable: enableTrigger(name, users, 'ALWAYS') },
      ];
    }),
  );
}

/**
 * Returns whether changes of owners are notified. The application decides this with `watchUsers`.
 */
export async function findOwnerFeed(runner: QueryRunner): Promise<boolean> {
  return functionExists(runner, `${await qualifiedName(runner, FUNCTION)}()`);
}

/**
 * Returns the SQL that creates the trigger function that sends notifications of changed owners. The
 * function compares rows as jsonb, because not every column type can be compared. A row that cannot
 * be converted to jsonb counts as changed. The function never fails, even if the table of keys is
 * missing, or if a column's type changed after the session had planned the comparison.
 */
export async function ownerFeedFunction(runner: QueryRunner, notify: string): Promise<string> {
  const table = await qualifiedName(runner, 'api_keys');
  return `CREATE OR REPLACE FUNCTION ${await qualifiedName(runner, FUNCTION)}() RETURNS trigger LANGUAGE plpgsql ${OWN_SEARCH_PATH} AS $feed$
    DECLARE
      channel text := 'nestjs_api_key_feed_' || to_regclass(${quoteLiteral(table)})::oid::text;
      ignored text[] := coalesce(TG_ARGV::text[], '{}');
      user_id text;
      is_changed boolean := true;
    BEGIN
      IF channel IS NULL THEN
        RETURN NULL;
      ELSIF TG_OP = 'TRUNCATE' THEN
        PERFORM ${notify}(channel, '*');
        RETURN NULL;
      END IF;
      BEGIN
        IF TG_OP = 'UPDATE' THEN
          is_changed := to_jsonb(OLD) - ignored IS DISTINCT FROM to_jsonb(NEW) - ignored;
        END IF;
      EXCEPTION WHEN OTHERS THEN
        is_changed := true;
      END;
      IF NOT is_changed THEN RETURN NULL; END IF;
      BEGIN
        user_id := OLD.id::text;
      EXCEPTION WHEN OTHERS THEN
        BEGIN
          user_id := to_jsonb(OLD) ->> 'id';
        EXCEPTION WHEN OTHERS THEN
          user_id := NULL;
        END;
      END;
      PERFORM ${notify}(channel, CASE WHEN octet_length(user_id) <= ${LONGEST_ID_BYTES} THEN 'u:' || user_id ELSE '*' END);
      RETURN NULL;
    END $feed$`;
}

async function dropTriggers(runner: QueryRunner, users: string): Promise<void> {
  for (const name of Object.keys(EVENTS))
    await run(runner, `DROP TRIGGER IF EXISTS ${nameOf(runner, `nestjs_api_key_owner_${name}`)} ON ${users}`);
}
