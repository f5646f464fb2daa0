import type { MigrationInterface, QueryRunner } from 'typeorm';
import { existsInOwnSchema } from './own-schema';
import { inTransaction, withShortLock } from './sql';
import { eventTableOf, tableOf } from './table-name';

/** The columns that rotation, limits and addresses need: nullable or with a default, so that Rails keeps inserting. */
const COLUMNS = {
  rate_limit: 'integer',
  rate_limit_window_seconds: 'integer',
  allowed_ips: 'cidr[]',
  metadata: "jsonb NOT NULL DEFAULT '{}'",
  replaces_id: 'bigint',
} as const;

const NAMES = Object.keys(COLUMNS);

/** Adds what managing keys takes: columns, indexes, and the table of the trail. */
export class ManageApiKeys implements MigrationInterface {
  readonly name = 'ManageApiKeys1763942400000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, () => extend(runner, tableOf(runner), eventTableOf(runner)));
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await runner.query(`DROP TABLE ${eventTableOf(runner)}`);
      await runner.query(`DROP INDEX ${indexOf(runner, 'index_api_keys_on_user_id_and_id')}`);
      const drops = NAMES.map((name) => `DROP COLUMN ${name}`);
      await withShortLock(runner, `ALTER TABLE ${tableOf(runner)} ${drops.join(', ')}`);
    });
  }
}

/** Where all of it is there, another application on this database has migrated before. */
async function extend(runner: QueryRunner, table: string, events: string): Promise<void> {
  await existsInOwnSchema(runner, table);
  const [{ present, trail }] = await runner.query(
    `SELECT ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attname = ANY ($2) AND NOT attisdropped) AS present,
       to_regclass($3) IS NOT NULL AS trail`,
    [table, NAMES, events],
  );
  if (trail && present.length === NAMES.length) return;
  if (trail || present.length > 0) refuse([...present, ...(trail ? ['api_key_events'] : [])]);
  const columns = Object.entries(COLUMNS).map(([name, type]) => `ADD COLUMN ${name} ${type}`);
  await withShortLock(runner, `ALTER TABLE ${table} ${columns.join(', ')}`);
  await runner.query(
    `CREATE UNIQUE INDEX index_api_keys_on_replaces_id ON ${table} (replaces_id) WHERE replaces_id IS NOT NULL`,
  );
  await runner.query(`CREATE INDEX index_api_keys_on_user_id_and_id ON ${table} (user_id, id)`);
  await createTrail(runner, events);
}

/** No foreign key: the trail outlives the keys and their owners. */
async function createTrail(runner: QueryRunner, events: string): Promise<void> {
  await runner.query(`
    CREATE TABLE ${events} (
      id bigserial PRIMARY KEY,
      type varchar NOT NULL,
      key_id bigint,
      masked varchar,
      user_id varchar,
      actor_type varchar NOT NULL,
      actor_id varchar,
      address varchar,
      request_id varchar,
      details jsonb NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT now()
    )`);
  await runner.query(`CREATE INDEX index_api_key_events_on_key_id_and_id ON ${events} (key_id, id)`);
  await runner.query(`CREATE INDEX index_api_key_events_on_created_at ON ${events} (created_at)`);
}

function indexOf(runner: QueryRunner, name: string): string {
  const [schema, table] = tableOf(runner).split('.');
  return table === undefined ? name : `${schema}.${name}`;
}

function refuse(present: readonly string[]): never {
  throw new Error(
    `nestjs-api-key: ${present.join(', ')} of someone else is there already, so the table cannot be extended. ` +
      'Rename it, and migrate again; nothing was changed.',
  );
}
