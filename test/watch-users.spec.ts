import { ApiKey, type ApiKeyMigrationOptions, apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { createEmptyDatabase, sql } from './support/database';

const WATCHED: ApiKeyMigrationOptions = { usersTable: 'users', watchUsers: true };

let database: string;
let dataSource: DataSource | undefined;
let listener: Client;
let heard: string[];

/** A database with users of its own, and what its feed says from then on. */
async function migrate(options: ApiKeyMigrationOptions): Promise<void> {
  dataSource = new DataSource({
    type: 'postgres',
    url: database,
    entities: [ApiKey],
    migrations: apiKeyMigrations(options),
  });
  await dataSource.initialize();
  await runMigrations(dataSource);
  const [table] = await sql<{ oid: string }>(database, `SELECT 'api_keys'::regclass::oid::text AS oid`);
  listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
  await listener.query(`LISTEN nestjs_api_key_feed_${table?.oid}`);
}

/** What the feed says of a statement: the note of an own, later statement ends it. */
async function saidOf(statement: string): Promise<string[]> {
  heard = [];
  await sql(database, statement);
  await listener.query('SELECT 1');
  return heard;
}

/** The migrations that have run. */
async function recorded(): Promise<string[]> {
  return (await sql<{ name: string }>(database, 'SELECT name FROM migrations')).map(({ name }) => name);
}

beforeEach(async () => {
  database = await createEmptyDatabase();
  await sql(
    database,
    `CREATE TABLE users (id bigint PRIMARY KEY, email text, seen_at timestamptz, settings json);
     INSERT INTO users (id, email, settings) VALUES (1, 'a@example.com', '{}'), (2, 'b@example.com', '{}')`,
  );
  listener = new Client({ connectionString: database });
  heard = [];
  await listener.connect();
});

afterEach(async () => {
  await listener.end();
  if (dataSource?.isInitialized) await dataSource.destroy();
});

it('a change of a user, its deletion and TRUNCATE are notified; an update without changes is not', async () => {
  await migrate(WATCHED);
  expect(await saidOf(`UPDATE users SET email = 'c@example.com' WHERE id = 1`)).toEqual(['u:1']);
  expect(await saidOf(`UPDATE users SET settings = '{"a":1}' WHERE id = 1`)).toEqual(['u:1']);
  expect(await saidOf(`UPDATE users SET email = email`)).toEqual([]);
  expect(await saidOf(`DELETE FROM users WHERE id = 2`)).toEqual(['u:2']);
  expect(await saidOf(`TRUNCATE users CASCADE`)).toContain('*');
});

it('a change of a user in a session with the role replica is notified', async () => {
  await migrate(WATCHED);
  expect(await saidOf(`SET session_replication_role = replica; DELETE FROM users WHERE id = 1`)).toEqual([
    'u:1',
  ]);
});

it('a change of only ignored columns is not notified', async () => {
  await migrate({ usersTable: 'users', watchUsers: { ignore: ['seen_at', "it's"] } });
  expect(await saidOf(`UPDATE users SET seen_at = now() WHERE id = 1`)).toEqual([]);
  expect(await saidOf(`UPDATE users SET seen_at = now(), email = 'd' WHERE id = 1`)).toEqual(['u:1']);
});

it('no write to users fails if the table of keys is missing', async () => {
  await migrate(WATCHED);
  await sql(database, 'DROP TABLE api_keys');
  expect(await saidOf(`UPDATE users SET email = 'e' WHERE id = 1`)).toEqual([]);
});

it('the type of a watched column can still be changed', async () => {
  await migrate({ usersTable: 'users', watchUsers: { ignore: ['seen_at'] } });
  await sql(database, 'ALTER TABLE users ALTER COLUMN seen_at TYPE date');
  expect(await saidOf(`UPDATE users SET email = 'f' WHERE id = 1`)).toEqual(['u:1']);
});

it('down removes triggers and function, and the users stay', async () => {
  await migrate(WATCHED);
  while ((await recorded()).includes('WatchUsers1764115200000')) await dataSource?.undoLastMigration();
  expect(await saidOf(`UPDATE users SET email = 'g' WHERE id = 1`)).toEqual([]);
  expect(await sql(database, `SELECT proname FROM pg_proc WHERE proname LIKE '%owner_feed'`)).toEqual([]);
  if (dataSource) await runMigrations(dataSource);
  expect(await saidOf(`UPDATE users SET email = 'h' WHERE id = 1`)).toEqual(['u:1']);
});
