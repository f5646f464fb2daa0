import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumns, dropColumns } from './add-columns';
import { existsInOwnSchema } from './own-schema';
import { inTransaction, run } from './sql';
import { besideTable, eventTableOf, nameOf, tableOf } from './table-name';

/** Columns for rotation, limits, allowed addresses and metadata. */
const COLUMNS = {
  rate_limit: 'integer',
  rate_limit_window_seconds: 'integer',
  allowed_ips: 'cidr[]',
  metadata: "jsonb NOT NULL DEFAULT '{}'",
  replaces_id: 'bigint',
} as const;

/** Adds the columns and indexes for the management of keys, and the table of the audit trail. */
export class ManageApiKeys implements MigrationInterface {
  readonly name = 'ManageApiKeys1763942400000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, () => extend(runner, tableOf(runner), eventTableOf(runner)));
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await run(runner, `DROP TABLE ${eventTableOf(runner)}`);
      await run(runner, `DROP INDEX ${besideTable(runner, 'index_api_keys_on_user_id_and_id')}`);
      await dropColumns(runner, tableOf(runner), COLUMNS);
    });
  }
}

async function extend(runner: QueryRunner, table: string, events: string): Promise<void> {
  if (!(await addColumns(runner, table, COLUMNS, events))) return;
  const index = (columns: string) => nameOf(runner, `index_api_keys_on_${columns}`);
  await run(
    runner,
    `CREATE UNIQUE INDEX ${index('replaces_id')} ON ${table} (replaces_id) WHERE replaces_id IS NOT NULL`,
  );
  await run(runner, `CREATE INDEX ${index('user_id_and_id')} ON ${table} (user_id, id)`);
  await createTrail(runner, events);
}

/**
 * Creates the table of the audit trail. The table has no foreign key, because events remain after
 * their keys and owners are deleted.
 */
async function createTrail(runner: QueryRunner, events: string): Promise<void> {
  const index = (columns: string) => nameOf(runner, `index_api_key_events_on_${columns}`);
  await run(
    runner,
    `
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
    )`,
  );
  await run(runner, `CREATE INDEX ${index('key_id_and_id')} ON ${events} (key_id, id)`);
  await run(runner, `CREATE INDEX ${index('created_at')} ON ${events} (created_at)`);
}
