import type { MigrationInterface, QueryRunner } from 'typeorm';
import { existsInOwnSchema } from './own-schema';
import { inTransaction } from './sql';
import { besideTable, tableOf } from './table-name';

/** What a cached key exposes: a change of any of these evicts it. Last uses and `updated_at` do not. */
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

const TRIGGERS = {
  insert: 'AFTER INSERT',
  update: 'AFTER UPDATE',
  delete: 'AFTER DELETE',
  truncate: 'AFTER TRUNCATE',
} as const;

/** Installs the triggers that tell every instance of a change, and the table of how long instances trust what they remember. */
export class FeedRevocations implements MigrationInterface {
  readonly name = 'FeedRevocations1764028800000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await createTrust(runner);
      await runner.query(feedFunction(runner, EXPOSED));
      await dropTriggers(runner);
      for (const [name, event] of Object.entries(TRIGGERS)) await createTrigger(runner, name, event);
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await dropTriggers(runner);
      await runner.query(`DROP FUNCTION ${besideTable(runner, 'nestjs_api_key_feed')}()`);
      await runner.query(`DROP TABLE ${besideTable(runner, 'api_key_trust')}`);
    });
  }
}

/** One row: the largest trust bound that any instance may hold. */
async function createTrust(runner: QueryRunner): Promise<void> {
  const table = besideTable(runner, 'api_key_trust');
  await runner.query(
    `CREATE TABLE IF NOT EXISTS ${table} (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), trust_ms bigint NOT NULL)`,
  );
  await runner.query(`INSERT INTO ${table} (trust_ms) VALUES (2000) ON CONFLICT DO NOTHING`);
}

/**
 * Compares inside, for a trigger with a condition would forbid changing the type of a column that
 * it names. A partition tells it on the channel of the table that it belongs to.
 * @param notify the function that it notifies by
 */
export function feedFunction(
  runner: QueryRunner,
  exposed: readonly string[],
  notify: string = 'pg_notify',
): string {
  const row = (record: string) => `(${exposed.map((column) => `${record}.${column}`).join(', ')})`;
  return `CREATE OR REPLACE FUNCTION ${besideTable(runner, 'nestjs_api_key_feed')}() RETURNS trigger LANGUAGE plpgsql AS $feed$
    DECLARE channel text := 'nestjs_api_key_feed_' || coalesce(pg_partition_root(TG_RELID), TG_RELID)::oid;
    BEGIN
      IF TG_OP = 'TRUNCATE' THEN
        PERFORM ${notify}(channel, '*');
      ELSIF TG_OP = 'INSERT' THEN
        PERFORM ${notify}(channel, '+');
      ELSIF TG_OP = 'DELETE' THEN
        PERFORM ${notify}(channel, OLD.id::text);
      ELSIF ${row('OLD')} IS DISTINCT FROM ${row('NEW')} THEN
        PERFORM ${notify}(channel, OLD.id::text);
        IF OLD.key_digest IS DISTINCT FROM NEW.key_digest THEN PERFORM ${notify}(channel, '+'); END IF;
      END IF;
      RETURN NULL;
    END $feed$`;
}

/** ENABLE ALWAYS: also for what a session with \`session_replication_role = replica\` does. */
async function createTrigger(runner: QueryRunner, name: string, event: string): Promise<void> {
  const table = tableOf(runner);
  const each = name === 'update' || name === 'delete' ? 'ROW' : 'STATEMENT';
  await runner.query(
    `CREATE TRIGGER nestjs_api_key_feed_${name} ${event} ON ${table}
     FOR EACH ${each} EXECUTE FUNCTION ${besideTable(runner, 'nestjs_api_key_feed')}()`,
  );
  await runner.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER nestjs_api_key_feed_${name}`);
}

async function dropTriggers(runner: QueryRunner): Promise<void> {
  for (const name of Object.keys(TRIGGERS))
    await runner.query(`DROP TRIGGER IF EXISTS nestjs_api_key_feed_${name} ON ${tableOf(runner)}`);
}
