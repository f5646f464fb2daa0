import { apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import type { Client } from 'pg';
import { keysDataSource } from './support/data-source';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { connect, Hearing } from './support/hearing';

/** Logical replication fires no statement trigger for a row that it inserts. */
const NO_STATEMENT_TRIGGER = 'ALTER TABLE api_keys DISABLE TRIGGER nestjs_api_key_feed_insert';
const AS_REPLICATION = 'SET session_replication_role = replica';

let url: string;
let userId: string;
let session: Client;
let hearing: Hearing;

beforeEach(async () => {
  url = await createMigratedDatabase();
  userId = await createUser(url);
  session = await connect(url);
});

afterEach(() => Promise.all([session.end(), hearing.end()]));

/** A session that inserts as the apply worker of a subscription does. */
async function asReplication(): Promise<void> {
  await sql(url, NO_STATEMENT_TRIGGER);
  await session.query(AS_REPLICATION);
  hearing = await Hearing.of(url);
}

const insert = (table = 'api_keys', rows = 3) =>
  `INSERT INTO ${table} (user_id, name, key_digest, key_prefix)
   SELECT ${userId}, 'ci', gen_random_uuid()::text, 'prefix' FROM generate_series(1, ${rows})`;

it('notifies once of all keys that a replicated transaction inserts, and not if it is rolled back', async () => {
  await asReplication();
  await session.query(`BEGIN; ${insert()}; ${insert()}; COMMIT`);
  expect(await hearing.told()).toEqual(['+']);
  await session.query(`BEGIN; ${insert()}; ROLLBACK`);
  expect(await hearing.told()).toEqual([]);
});

it('notifies of replicated keys also if they are inserted into a partition of the table', async () => {
  await sql(
    url,
    `ALTER TABLE api_keys RENAME TO api_keys_before;
     CREATE TABLE api_keys (LIKE api_keys_before INCLUDING DEFAULTS) PARTITION BY RANGE (id);
     CREATE TABLE keys_first PARTITION OF api_keys FOR VALUES FROM (1) TO (1000000)`,
  );
  const dataSource = await keysDataSource(url, { migrations: apiKeyMigrations() });
  await runMigrations(dataSource);
  await dataSource.destroy();
  await asReplication();
  await session.query(insert('keys_first'));
  expect(await hearing.told()).toEqual(['+']);
});

it('marks a silent change if replicated keys cannot be notified because the queue is full', async () => {
  await asReplication();
  await session.query(`BEGIN; SET LOCAL nestjs_api_key.silent = 'on'; ${insert()}; COMMIT`);
  expect(await hearing.told()).toEqual([]);
  expect(await sql(url, 'SELECT FROM api_key_silent_changes')).toHaveLength(1);
});

it('calls no trigger for each row that an ordinary session inserts, because its statement is notified', async () => {
  await sql(url, NO_STATEMENT_TRIGGER);
  hearing = await Hearing.of(url);
  await session.query(insert());
  expect(await hearing.told()).toEqual([]);
  await sql(url, 'ALTER TABLE api_keys ENABLE ALWAYS TRIGGER nestjs_api_key_feed_insert');
  await session.query(insert());
  expect(await hearing.told()).toEqual(['+']);
});
