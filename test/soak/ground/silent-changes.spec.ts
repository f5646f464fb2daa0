import { Test } from '@nestjs/testing';
import {
  ApiKey,
  type ApiKeyMigrationOptions,
  ApiKeyModule,
  apiKeyMigrations,
  runMigrations,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { createEmptyDatabase, createMigratedDatabase, createUser, sql } from '../../support/database';

const SILENT = `SET LOCAL nestjs_api_key.silent = 'on'`;
/** The migration, and what builds on it. */
const LATEST = [
  'TellSilentChanges1764633600000',
  'SurviveTableChanges1764720000000',
  'DisableKeys1764806400000',
  'TellReplicatedInserts1765152000000',
];

/** What the library has run on a database, with options of its own. */
async function migrating<T>(
  url: string,
  options: ApiKeyMigrationOptions,
  work: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const dataSource = await new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    migrations: apiKeyMigrations(options),
  }).initialize();
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

const marks = (url: string) => sql(url, 'SELECT xact::text, at FROM api_key_silent_changes');

/** The functions of the library, as PostgreSQL has them. */
const functionsOf = (url: string) =>
  sql(
    url,
    `SELECT proname, prosrc FROM pg_proc WHERE proname LIKE 'nestjs_api_key%' AND pronamespace = 'public'::regnamespace ORDER BY 1`,
  );

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client;
}

describe('a transaction that cannot notify', () => {
  let url: string;

  beforeEach(async () => {
    url = await createMigratedDatabase();
    for (let i = 0; i < 3; i++) await createUser(url);
  });

  it('leaves one row for any number of changes, and none if it is rolled back', async () => {
    await sql(url, `BEGIN; ${SILENT}; UPDATE users SET email = email || 1; DELETE FROM users; ROLLBACK`);
    expect(await marks(url)).toEqual([]);
    await sql(url, `BEGIN; ${SILENT}; UPDATE users SET email = email || 1; DELETE FROM users; COMMIT`);
    expect(await marks(url)).toHaveLength(1);
  });

  it('leaves its row even if the first change was rolled back to a savepoint', async () => {
    await sql(
      url,
      `BEGIN; ${SILENT}; SAVEPOINT before; UPDATE users SET email = email || 1; ROLLBACK TO before; UPDATE users SET email = email || 2; COMMIT`,
    );
    expect(await marks(url)).toHaveLength(1);
  });

  it.each([
    'READ COMMITTED',
    'REPEATABLE READ',
    'SERIALIZABLE',
  ])('blocks no other transaction while it is open, at %s', async (level) => {
    const [one, other] = [await connect(url), await connect(url)];
    const rows = await sql<{ id: string }>(url, 'SELECT id FROM users ORDER BY id');
    for (const [client, row] of [
      [one, rows[0]],
      [other, rows[1]],
    ] as const) {
      await client.query(
        `BEGIN ISOLATION LEVEL ${level}; SET LOCAL statement_timeout = '10s'; ${SILENT}; SELECT FROM users`,
      );
      await client.query(`UPDATE users SET email = email || 1 WHERE id = ${row?.id}`);
    }
    await other.query('COMMIT');
    await one.query('COMMIT').catch(({ code }) => expect([level, code]).toEqual(['SERIALIZABLE', '40001']));
    expect((await marks(url)).length).toBeGreaterThanOrEqual(level === 'SERIALIZABLE' ? 1 : 2);
    await Promise.all([one.end(), other.end()]);
  });

  it('may belong to a role without rights on the tables of the library', async () => {
    const role = new URL(url).pathname.slice(1);
    await sql(url, `CREATE ROLE "${role}"; GRANT SELECT, UPDATE ON users TO "${role}"`);
    await sql(url, `BEGIN; SET LOCAL ROLE "${role}"; ${SILENT}; UPDATE users SET email = email || 1; COMMIT`);
    expect(await marks(url)).toHaveLength(1);
    await sql(url, `REVOKE ALL ON users FROM "${role}"; DROP ROLE "${role}"`);
  });

  it('needs no search path to the tables', async () => {
    await sql(
      url,
      `BEGIN; SET LOCAL search_path = pg_temp; ${SILENT}; UPDATE public.users SET email = email || 1; COMMIT`,
    );
    expect(await marks(url)).toHaveLength(1);
  });
});

describe('the migration', () => {
  const WATCHED: ApiKeyMigrationOptions = { usersTable: 'users', watchUsers: true };
  let url: string;

  beforeEach(async () => {
    url = await createEmptyDatabase();
    await sql(url, 'CREATE TABLE users (id bigint PRIMARY KEY, email text)');
  });

  it('changes the feed of owners too, whichever of the two runs first', async () => {
    await migrating(url, {}, runMigrations);
    expect(await migrating(url, WATCHED, runMigrations)).toEqual([
      'WatchUsers1764115200000',
      'ReferenceUsers9999999999999',
    ]);
    const other = await createEmptyDatabase();
    await sql(other, 'CREATE TABLE users (id bigint PRIMARY KEY, email text)');
    await migrating(other, WATCHED, runMigrations);
    expect(await functionsOf(url)).toEqual(await functionsOf(other));
    const notifying = (await functionsOf(url)).filter(({ prosrc }) =>
      /\bPERFORM pg_notify\(/.test(String(prosrc)),
    );
    expect(notifying).toEqual([]);
  });

  it('restores the previous state on down', async () => {
    const before = await migrating(url, WATCHED, async (dataSource) => {
      const { migrations } = dataSource;
      Object.assign(dataSource, {
        migrations: migrations.filter(({ name }) => !LATEST.includes(String(name))),
      });
      await runMigrations(dataSource);
      const functions = await functionsOf(url);
      Object.assign(dataSource, { migrations });
      await runMigrations(dataSource);
      for (const _ of LATEST) await dataSource.undoLastMigration();
      return functions;
    });
    expect(await functionsOf(url)).toEqual(before);
    expect(await sql(url, `SELECT to_regclass('api_key_silent_changes') AS it`)).toEqual([{ it: null }]);
  });

  it('refuses a server that is too old, with a message', async () => {
    await sql(
      url,
      `CREATE FUNCTION public.current_setting(text) RETURNS text LANGUAGE sql AS $$
         SELECT CASE WHEN $1 = 'server_version_num' THEN '120022' WHEN $1 = 'server_version' THEN '12.22' ELSE pg_catalog.current_setting($1) END $$;
       ALTER DATABASE "${new URL(url).pathname.slice(1)}" SET search_path = public, pg_catalog`,
    );
    await expect(migrating(url, {}, runMigrations)).rejects.toThrow(
      'nestjs-api-key: PostgreSQL 13 or later is needed, and this server is 12.22. Upgrade it, and migrate again; nothing was changed.',
    );
  });

  it('is required at boot if it has not run', async () => {
    const boot = migrating(url, {}, async (dataSource) => {
      await runMigrations(dataSource);
      await dataSource.query('DROP TABLE api_key_silent_changes');
      const module = await Test.createTestingModule({
        imports: [ApiKeyModule.forRoot({ dataSource })],
      }).compile();
      await module.init();
    });
    await expect(boot).rejects.toThrow(
      /relation "public.api_key_silent_changes" does not exist\). Add \.\.\.apiKeyMigrations\(\) to the migrations of the data source, and run them/,
    );
  });
});
