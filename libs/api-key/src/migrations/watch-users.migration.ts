import type { MigrationInterface, QueryRunner } from 'typeorm';
import { quoteName } from '../database/names';
import { existsInOwnSchema } from './own-schema';
import { inTransaction, quoteLiteral, withShortLock } from './sql';
import { besideTable, schemaOfKeys, tableOf } from './table-name';
import { notifyFunction } from './tell-function';

/** Which changes of a user make every instance ask `loadUser` again. */
export interface WatchUsersOptions {
  /** Columns whose change alone does not count, such as `last_seen_at`. */
  ignore?: readonly string[];
}

const EVENTS = {
  change: 'AFTER UPDATE OR DELETE ON %s FOR EACH ROW',
  truncate: 'AFTER TRUNCATE ON %s FOR EACH STATEMENT',
} as const;

/** Longer ids do not fit into a notification, whose payload ends at 8,000 bytes. */
const LONGEST_ID_BYTES = 7_000;

/** Triggers on the users table: what `loadUser` returned is forgotten everywhere when the row changes or goes. */
export function watchUsers(usersTable: string, options: WatchUsersOptions): new () => MigrationInterface {
  return class WatchUsers implements MigrationInterface {
    readonly name = 'WatchUsers1764115200000';

    up(runner: QueryRunner): Promise<void> {
      return inTransaction(runner, () => install(runner, quoteName(usersTable), options));
    }

    down(runner: QueryRunner): Promise<void> {
      return inTransaction(runner, async () => {
        await dropTriggers(runner, quoteName(usersTable));
        await runner.query(`DROP FUNCTION ${besideTable(runner, 'nestjs_api_key_owner_feed')}()`);
      });
    }
  };
}

async function install(
  runner: QueryRunner,
  users: string,
  { ignore = [] }: WatchUsersOptions,
): Promise<void> {
  await existsInOwnSchema(runner, tableOf(runner));
  await runner.query(await ownerFeedFunction(runner, await notifyFunction(runner)));
  await dropTriggers(runner, users);
  for (const [name, event] of Object.entries(EVENTS)) {
    const trigger = `nestjs_api_key_owner_${name}`;
    const ignored = ignore.map(quoteLiteral).join(', ');
    await withShortLock(
      runner,
      `CREATE TRIGGER ${trigger} ${event.replace('%s', () => users)}
       EXECUTE FUNCTION ${besideTable(runner, 'nestjs_api_key_owner_feed')}(${ignored});
       ALTER TABLE ${users} ENABLE ALWAYS TRIGGER ${trigger}`,
    );
  }
}

/** Whether changes of owners are told: that is for the application to choose. */
export async function findOwnerFeed(runner: QueryRunner): Promise<boolean> {
  const [{ made }] = await runner.query('SELECT to_regprocedure($1) IS NOT NULL AS made', [
    `${await schemaOfKeys(runner)}.nestjs_api_key_owner_feed()`,
  ]);
  return made;
}

/** Compares rows as jsonb, for not every column type can be compared; and never fails for want of the table of keys. */
export async function ownerFeedFunction(runner: QueryRunner, notify: string): Promise<string> {
  const table = `${await schemaOfKeys(runner)}.api_keys`;
  return `CREATE OR REPLACE FUNCTION ${besideTable(runner, 'nestjs_api_key_owner_feed')}() RETURNS trigger LANGUAGE plpgsql AS $feed$
    DECLARE channel text := 'nestjs_api_key_feed_' || to_regclass(${quoteLiteral(table)})::oid;
    BEGIN
      IF channel IS NULL THEN
        RETURN NULL;
      ELSIF TG_OP = 'TRUNCATE' THEN
        PERFORM ${notify}(channel, '*');
      ELSIF TG_OP = 'DELETE' OR (to_jsonb(OLD) - coalesce(TG_ARGV::text[], '{}')) IS DISTINCT FROM (to_jsonb(NEW) - coalesce(TG_ARGV::text[], '{}')) THEN
        PERFORM ${notify}(channel, CASE WHEN octet_length(OLD.id::text) > ${LONGEST_ID_BYTES} THEN '*' ELSE 'u:' || OLD.id END);
      END IF;
      RETURN NULL;
    END $feed$`;
}

async function dropTriggers(runner: QueryRunner, users: string): Promise<void> {
  for (const name of Object.keys(EVENTS))
    await runner.query(`DROP TRIGGER IF EXISTS nestjs_api_key_owner_${name} ON ${users}`);
}
