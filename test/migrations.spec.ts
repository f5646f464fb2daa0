import { Test } from '@nestjs/testing';
import {
  ApiKey,
  type ApiKeyMigrationOptions,
  ApiKeyModule,
  ApiKeyService,
  adoptedFromRails,
  apiKeyMigrations,
  runMigrations,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { DataSource, MigrationExecutor } from 'typeorm';
import { AppDataSource } from '../ormconfig';
import { createEmptyDatabase, sql } from './support/database';
import { asRails, createRailsDatabase } from './support/rails';
import { schemaOf } from './support/schema';
import { until } from './support/until';

/** A data source with the migrations of the library alone, connected. */
function libraryDataSource(
  url: string,
  options?: ApiKeyMigrationOptions,
  more: object = {},
): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    migrations: apiKeyMigrations(options),
    uuidExtension: 'pgcrypto',
    ...more,
  }).initialize();
}

async function withDataSource<T>(
  opening: Promise<DataSource>,
  work: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const dataSource = await opening;
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

const migrate = (url: string, options?: ApiKeyMigrationOptions, more?: object) =>
  withDataSource(libraryDataSource(url, options, more), runMigrations);
const MIGRATIONS = [
  'CreateApiKeys1763856000000',
  'ManageApiKeys1763942400000',
  'FeedRevocations1764028800000',
  'LimitRates1764201600000',
  'MeterUsage1764374400000',
  'TraceLineage1764460800000',
  'CountTogether1764547200000',
  'TellSilentChanges1764633600000',
  'SurviveTableChanges1764720000000',
  'DisableKeys1764806400000',
  'TellReplicatedInserts1765152000000',
];

/** All migrations of the library, the last one first. */
const revert = (url: string, more?: object) =>
  withDataSource(libraryDataSource(url, {}, more), async (dataSource) => {
    for (const _ of MIGRATIONS) await dataSource.undoLastMigration();
  });

const INSERT_AS_RAILS = `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, expires_at, created_at, updated_at)
  VALUES (1, 'by Rails', 'digest', 'prefix', '2030-01-02 03:04:05', '2026-01-01 00:00:00', '2026-01-01 00:00:00') RETURNING id`;

/** What the application says that boots on a data source and does something with its keys. */
function boot<T>(opening: Promise<DataSource>, work: (keys: ApiKeyService) => Promise<T>): Promise<T> {
  return withDataSource(opening, async (dataSource) => {
    const imports = [ApiKeyModule.forRoot({ dataSource, format: 'hex', cache: { lookUpTimeoutMs: 10_000 } })];
    const module = await Test.createTestingModule({ imports }).compile();
    try {
      await module.init();
      return await work(module.get(ApiKeyService));
    } finally {
      await module.close();
    }
  });
}

/** Options of a data source whose sessions begin with a setting. */
const session = (setting: string) => ({ extra: { options: `-c ${setting}` } });

/**
 * As a dump and load by Rails 6.1 leaves a table of ours: the comment is there, all times are
 * without time zone, no migration has run.
 */
const loadByRails = (url: string) =>
  asRails(url, (client) =>
    client.query(
      `ALTER TABLE api_keys ALTER last_used_at TYPE timestamp(6), ALTER expires_at TYPE timestamp(6), ALTER created_at TYPE timestamp(6),
       ALTER updated_at TYPE timestamp(6), ALTER revoked_at TYPE timestamp(6), ALTER disabled_at TYPE timestamp(6), ALTER enabled_expires_at TYPE timestamp(6);
       DROP TABLE migrations`,
    ),
  );

/**
 * What TypeORM would change to make the table fit the entity; foreign key and comment are not the
 * entity's to say.
 */
async function drift(url: string): Promise<string[]> {
  return withDataSource(libraryDataSource(url), async (dataSource) => {
    dataSource.getMetadata(ApiKey).synchronize = true;
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    return upQueries
      .map(({ query }) => query)
      .filter((query) => !/DROP CONSTRAINT "fk_rails_|^COMMENT ON TABLE/.test(query));
  });
}

describe('on an empty database', () => {
  it('the table is created and fits the entity', async () => {
    const url = await createEmptyDatabase();
    expect(await migrate(url)).toEqual(MIGRATIONS);
    expect(await drift(url)).toEqual([]);
    expect(await withDataSource(libraryDataSource(url), adoptedFromRails)).toBe(false);
  });

  it('a column that drifts from the entity is noticed', async () => {
    const url = await createEmptyDatabase();
    await migrate(url);
    await sql(
      url,
      'ALTER TABLE api_keys ALTER COLUMN expires_at TYPE timestamp; ALTER TABLE api_keys DROP COLUMN key_suffix',
    );
    expect((await drift(url)).join()).toMatch(/key_suffix.*expires_at|expires_at.*key_suffix/s);
  });

  it.each(['bigint', 'integer', 'uuid', 'text'] as const)('the owner column can be %s', async (ownerType) => {
    const url = await createEmptyDatabase();
    await migrate(url, { ownerType });
    const [column] = await sql(
      url,
      `SELECT data_type FROM information_schema.columns WHERE table_name = 'api_keys' AND column_name = 'user_id'`,
    );
    expect(column?.data_type).toBe(ownerType);
  });

  it('the owner can reference a table of users, and deleting a user deletes the keys', async () => {
    const url = await createEmptyDatabase();
    await sql(
      url,
      'CREATE TABLE "Accounts" (id uuid PRIMARY KEY); INSERT INTO "Accounts" VALUES (gen_random_uuid())',
    );
    await migrate(url, { ownerType: 'uuid', usersTable: 'Accounts' });
    await sql(
      url,
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) SELECT id, 'a', 'b', 'c' FROM "Accounts"`,
    );
    await sql(url, 'DELETE FROM "Accounts"');
    expect(await sql(url, 'SELECT FROM api_keys')).toHaveLength(0);
  });

  it('down drops the table', async () => {
    const url = await createEmptyDatabase();
    await migrate(url);
    await revert(url);
    expect(await sql(url, `SELECT to_regclass('api_keys') AS found`)).toEqual([{ found: null }]);
  });

  it('the schema of the data source is used', async () => {
    const url = await createEmptyDatabase();
    await sql(url, 'CREATE SCHEMA auth');
    await migrate(url, {}, { schema: 'auth' });
    expect(await sql(url, `SELECT to_regclass('auth.api_keys')::text AS found`)).toEqual([
      { found: 'auth.api_keys' },
    ]);
    await revert(url, { schema: 'auth' });
    expect(await sql(url, `SELECT relname FROM pg_class WHERE relnamespace = 'auth'::regnamespace`)).toEqual([
      { relname: 'migrations_id_seq' },
      { relname: 'migrations' },
      { relname: expect.any(String) },
    ]);
  });

  it('twenty instances that migrate at once succeed, and only one of them migrates', async () => {
    const url = await createEmptyDatabase();
    const instances = Array.from({ length: 20 }, async () =>
      withDataSource(
        new AppDataSource(url).setOptions({ connectTimeoutMS: 60_000 }).initialize(),
        runMigrations,
      ),
    );
    const ran = await Promise.all(instances);
    expect(ran.filter((names) => names.length > 0)).toHaveLength(1);
    const rows = await sql(url, 'SELECT name, count(*)::int AS times FROM migrations GROUP BY name');
    expect(rows).toHaveLength(MIGRATIONS.length + 4); // the sample's own, WatchUsers and ReferenceUsers
    expect(rows.every(({ times }) => times === 1)).toBe(true);
  });

  it.each<[string, object, RegExp]>([
    [
      'an unknown type',
      { ownerType: 'varchar; DROP TABLE users' },
      /"ownerType" must be "bigint", .* or "text"/,
    ],
    [
      'a misspelt option',
      { userTable: 'users' },
      /no option "userTable"; the options are ownerType, usersTable/,
    ],
    ['an option of every object', { toString: 'users' }, /there is no option "toString"/],
    [
      'a misspelt field',
      { usersTable: 'users', watchUsers: { ignored: [] } },
      /no option "watchUsers.ignored"/,
    ],
    [
      'a field of another type',
      { usersTable: 'users', watchUsers: { ignore: 'a' } },
      /"watchUsers.ignore" must be/,
    ],
    ['an empty name', { usersTable: '' }, /"usersTable" must be the name/],
    [
      'another type of an option',
      { usersTable: 'users', watchUsers: 'no' },
      /"watchUsers" must be true or false/,
    ],
    ['options that need another', { watchUsers: true }, /"watchUsers" needs option "usersTable"/],
    ['options in a list', [{ usersTable: 'users' }], /must be a plain object/],
    [
      'two wrong options',
      { ownerTyp: 'text', userTable: 'a' },
      /"ownerTyp";.*; there is no option "userTable"/,
    ],
  ])('refuses %s', (_, options, message) => {
    expect(() => apiKeyMigrations(options)).toThrow(message);
  });
});

describe('on the table of a Rails app', () => {
  it('nothing is lost, and the table is not rewritten', async () => {
    const url = await createRailsDatabase();
    const facts = `SELECT count(*)::int AS keys, min(extract(epoch FROM expires_at)) AS first, sum(extract(epoch FROM expires_at)) AS expiries,
      sum(extract(epoch FROM created_at)) AS created, pg_relation_filenode('api_keys') AS file FROM api_keys`;
    const before = await asRails(url, (client) => client.query(facts));
    await migrate(url);
    const after = await asRails(url, (client) => client.query(facts));
    expect(after.rows).toEqual(before.rows);
    expect(after.rows[0].keys).toBe(500);
  });

  it('its times become timestamptz in UTC, whatever the time zone of the session that migrates', async () => {
    const url = await createRailsDatabase();
    await migrate(url, {}, { extra: { options: '-c TimeZone=Asia/Kolkata' } });
    const [row] = await sql<{ at: Date }>(url, `SELECT expires_at AS at FROM api_keys WHERE id = 1`);
    expect(row?.at.toISOString()).toBe('2036-01-01T00:00:01.000Z');
    const types = await sql(
      url,
      `SELECT DISTINCT data_type FROM information_schema.columns WHERE table_name = 'api_keys' AND column_name LIKE '%\\_at'`,
    );
    expect(types).toEqual([{ data_type: 'timestamp with time zone' }]);
  });

  it('the time zone and the lock time-out of the session stay as they were, in one transaction with other migrations', async () => {
    const url = await createRailsDatabase();
    const settings = await withDataSource(
      libraryDataSource(url, {}, { extra: { options: '-c TimeZone=Asia/Tokyo -c lock_timeout=7s' } }),
      async (dataSource) => {
        const runner = dataSource.createQueryRunner();
        await runner.startTransaction();
        const executor = new MigrationExecutor(dataSource, runner);
        await executor.executePendingMigrations();
        const [row] = await runner.query(
          `SELECT current_setting('TimeZone') AS zone, current_setting('lock_timeout') AS timeout`,
        );
        await runner.commitTransaction();
        await runner.release();
        return row;
      },
    );
    expect(settings).toEqual({ zone: 'Asia/Tokyo', timeout: '7s' });
  });

  it('the table fits the entity afterwards, whatever the names of its indexes and foreign key', async () => {
    const url = await createRailsDatabase();
    await migrate(url);
    const changes = (await drift(url)).filter((query) => !/created_at|updated_at/.test(query));
    expect(changes).toEqual([]);
  });

  it('TypeORM leaves the table unchanged, whatever its names', async () => {
    const url = await createRailsDatabase();
    await sql(url, 'ALTER INDEX index_api_keys_on_key_prefix RENAME TO something_else');
    await migrate(url);
    const { upQueries } = await withDataSource(libraryDataSource(url), (dataSource) =>
      dataSource.driver.createSchemaBuilder().log(),
    );
    expect(upQueries).toEqual([]);
  });

  it('Rails still inserts and reads', async () => {
    const url = await createRailsDatabase();
    await migrate(url);
    const rows = await asRails(url, async (client) => {
      await client.query(INSERT_AS_RAILS);
      return (await client.query(`SELECT *, expires_at::text AS text FROM api_keys WHERE name = 'by Rails'`))
        .rows;
    });
    expect(rows).toMatchObject([
      { scopes: [], text: '2030-01-02 03:04:05+00', key_suffix: null, revoked_at: null },
    ]);
  });

  it('down restores the table, including data from after the migration', async () => {
    const url = await createRailsDatabase();
    await sql(url, `COMMENT ON TABLE api_keys IS 'The team''s own words [sic]'`);
    const before = await schemaOf(url);
    await migrate(url);
    expect(await schemaOf(url)).not.toEqual(before);
    await asRails(url, (client) => client.query(INSERT_AS_RAILS));
    await revert(url);
    expect(await schemaOf(url)).toEqual(before);
    const [row] = await sql(url, `SELECT expires_at::text AS text FROM api_keys WHERE name = 'by Rails'`);
    expect(row?.text).toBe('2030-01-02 03:04:05');
  });

  it('times that already have a time zone, and unusual precisions, are restored by down', async () => {
    const url = await createRailsDatabase();
    await asRails(url, (client) =>
      client.query(
        'ALTER TABLE api_keys ALTER last_used_at TYPE timestamptz(3), ALTER expires_at TYPE timestamp(0)',
      ),
    );
    const before = await schemaOf(url);
    await migrate(url);
    await revert(url);
    expect(await schemaOf(url)).toEqual(before);
  });

  it('up, down and up again has the result of up', async () => {
    const url = await createRailsDatabase();
    await migrate(url);
    const up = await schemaOf(url);
    await revert(url);
    await migrate(url);
    expect(await schemaOf(url)).toEqual(up);
  });

  it('a second application with a migrations table of its own finds nothing left to do', async () => {
    const url = await createRailsDatabase();
    await migrate(url);
    const up = await schemaOf(url);
    await migrate(url, {}, { migrationsTableName: 'other_migrations' });
    expect(await schemaOf(url)).toEqual(up);
  });

  it.each([
    [
      'a view that reads its times',
      'CREATE VIEW active_keys AS SELECT id FROM api_keys WHERE expires_at > now()',
      /a view or rule reads its times: drop active_keys/,
    ],
    ['a missing column', 'ALTER TABLE api_keys DROP COLUMN key_prefix', /lacks the columns key_prefix/],
    [
      'a column of another type',
      'ALTER TABLE api_keys ALTER COLUMN expires_at TYPE date',
      /another type: expires_at is date/,
    ],
    [
      'no unique index on the digest',
      'DROP INDEX index_api_keys_on_key_digest',
      /key_digest has no unique index/,
    ],
    [
      'an id that is not unique',
      'ALTER TABLE api_keys DROP CONSTRAINT api_keys_pkey',
      /id has no unique index/,
    ],
    [
      'a default that depends on the time zone',
      `ALTER TABLE api_keys ALTER COLUMN created_at SET DEFAULT timezone('utc', now())`,
      /a default of a time would change its meaning with a time zone: created_at \(.*SET DEFAULT CURRENT_TIMESTAMP/,
    ],
    [
      'a constant default',
      `ALTER TABLE api_keys ALTER COLUMN expires_at SET DEFAULT '2030-01-01 00:00:00'`,
      /a default of a time would change its meaning .*expires_at/,
    ],
    [
      'a default in days, whose length depends on the time zone of the session',
      `ALTER TABLE api_keys ALTER expires_at SET DEFAULT now() + interval '90 days'`,
      /expires_at \(\(now\(\) \+ '90 days'::interval\)\).*DROP DEFAULT/,
    ],
    [
      'a default of the session time',
      'ALTER TABLE api_keys ALTER updated_at SET DEFAULT LOCALTIMESTAMP',
      /updated_at \(LOCALTIMESTAMP\).*SET DEFAULT CURRENT_TIMESTAMP/,
    ],
    [
      'a rule on another table that reads its times',
      'CREATE RULE late AS ON UPDATE TO api_keys WHERE old.expires_at < now() DO ALSO NOTHING',
      /a view or rule reads its times: drop rule late, migrate/,
    ],
    [
      'a column generated from a time, with the message of PostgreSQL',
      'ALTER TABLE api_keys ADD COLUMN day date GENERATED ALWAYS AS (expires_at::date) STORED',
      /cannot alter type of a column used by a generated column/,
    ],
    [
      'a column with the name of an added column',
      'ALTER TABLE api_keys ADD COLUMN revoked_at timestamp',
      /a column key_suffix or revoked_at that this library did not create/,
    ],
  ])('is refused for %s, and nothing is changed', async (_, change, message) => {
    const url = await createRailsDatabase();
    await sql(url, change);
    const before = await schemaOf(url);
    const typeormsOwnWords = jest.spyOn(console, 'log').mockImplementation();
    await expect(migrate(url)).rejects.toThrow(message);
    typeormsOwnWords.mockRestore();
    expect(await schemaOf(url)).toEqual(before);
  });

  it.each([
    'now()',
    'CURRENT_TIMESTAMP',
    'CURRENT_TIMESTAMP(3)',
    'clock_timestamp()',
  ])('a default of %s, as Rails writes it, is correct in every session, and is restored by down', async (expression) => {
    const url = await createRailsDatabase();
    await sql(
      url,
      `ALTER TABLE api_keys ALTER COLUMN created_at SET DEFAULT ${expression}, ALTER COLUMN updated_at SET DEFAULT ${expression}`,
    );
    const before = await schemaOf(url);
    await migrate(url);
    const [row] = await sql<{ near: boolean }>(
      url,
      `SET TIME ZONE 'Asia/Kolkata';
         INSERT INTO api_keys (user_id, name, key_digest, key_prefix) VALUES (1, 'default', 'digest', 'prefix');
         SELECT abs(extract(epoch FROM clock_timestamp() - created_at)) < 60 AS near FROM api_keys WHERE name = 'default'`,
    );
    expect(row).toEqual({ near: true });
    await sql(url, `DELETE FROM api_keys WHERE name = 'default'`);
    await revert(url);
    expect(await schemaOf(url)).toEqual(before);
  });

  it('a table that kept its comment but lost its time zones and added columns is repaired, and down still restores it', async () => {
    const url = await createRailsDatabase();
    const before = await schemaOf(url);
    await migrate(url);
    const up = await schemaOf(url);
    await sql(
      url,
      `SET TIME ZONE 'UTC'; ALTER TABLE api_keys DROP COLUMN key_suffix, ALTER COLUMN expires_at TYPE timestamp, ALTER COLUMN revoked_at TYPE timestamp;
       DROP TABLE migrations`,
    );
    await migrate(url);
    expect((await schemaOf(url)).sort()).toEqual(up.sort());
    await revert(url);
    expect(await schemaOf(url)).toEqual(before);
  });

  it('a created table that lost its time zones is repaired, and its times are read as UTC', async () => {
    const url = await createEmptyDatabase();
    await migrate(url);
    const up = await schemaOf(url);
    await sql(
      url,
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, expires_at) VALUES (1, 'a', 'b', 'c', '2030-01-01T00:00:00Z');
       SET TIME ZONE 'UTC'; ALTER TABLE api_keys ALTER COLUMN expires_at TYPE timestamp; DROP TABLE migrations`,
    );
    await migrate(url, {}, { extra: { options: '-c TimeZone=America/Los_Angeles' } });
    expect(await schemaOf(url)).toEqual(up);
    const [row] = await sql<{ at: Date }>(url, 'SELECT expires_at AS at FROM api_keys');
    expect(row?.at.toISOString()).toBe('2030-01-01T00:00:00.000Z');
  });

  it.each([
    'NULL',
    `'infinity'`,
    `'-infinity'`,
  ])('a default of %s, the same in every time zone, is restored by down', async (expression) => {
    const url = await createRailsDatabase();
    await sql(
      url,
      `ALTER TABLE api_keys ALTER expires_at SET DEFAULT ${expression}, ALTER created_at SET DEFAULT ${expression}`,
    );
    const before = await schemaOf(url);
    await migrate(url);
    await revert(url);
    expect(await schemaOf(url)).toEqual(before);
  });

  it.each([
    'America/Los_Angeles',
    'UTC',
    'Asia/Kolkata',
  ])('CURRENT_TIMESTAMP as default is correct for an insert from a session in %s', async (zone) => {
    const url = await createRailsDatabase();
    await sql(
      url,
      'ALTER TABLE api_keys ALTER created_at SET DEFAULT CURRENT_TIMESTAMP, ALTER updated_at SET DEFAULT CURRENT_TIMESTAMP',
    );
    await migrate(url, {}, session('TimeZone=America/New_York'));
    const rows = await sql(
      url,
      `SET TimeZone = '${zone}'; INSERT INTO api_keys (user_id, name, key_digest, key_prefix) VALUES (1, 'a', 'b', 'c')
         RETURNING created_at = now() AND updated_at = now() AS right`,
    );
    expect(rows).toEqual([{ right: true }]);
  });

  it('a view that reads no time does not block the migration', async () => {
    const url = await createRailsDatabase();
    await sql(url, 'CREATE VIEW key_names AS SELECT id, name FROM api_keys');
    await migrate(url);
  });

  it('the migration waits for a long transaction on the table, in short waits that let other sessions pass', async () => {
    const url = await createRailsDatabase();
    const holder = new Client({ connectionString: url });
    await holder.connect();
    await holder.query('BEGIN; SELECT FROM api_keys LIMIT 1');
    const migrating = migrate(url);
    await until(
      async () =>
        (
          await sql(
            url,
            `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE%'`,
          )
        ).length > 0,
    );
    await sql(url, 'SELECT count(*) FROM api_keys');
    await holder.query('COMMIT');
    await holder.end();
    expect(await migrating).toEqual(MIGRATIONS);
  });
});

it('a table whose times had a time zone in Rails is adopted and restored with it', async () => {
  const url = await createRailsDatabase();
  await asRails(url, (client) =>
    client.query(
      `ALTER TABLE api_keys ALTER last_used_at TYPE timestamptz, ALTER expires_at TYPE timestamptz, ALTER created_at TYPE timestamptz,
         ALTER updated_at TYPE timestamptz`,
    ),
  );
  const before = await schemaOf(url);
  await migrate(url);
  expect(await withDataSource(libraryDataSource(url), adoptedFromRails)).toBe(true);
  await revert(url);
  expect(await schemaOf(url)).toEqual(before);
});

describe('without an outer transaction, as in migration:run --transaction none,', () => {
  const migrateAlone = (url: string) =>
    withDataSource(libraryDataSource(url), async (dataSource) => {
      await dataSource.runMigrations({ transaction: 'none' });
    });

  it('each migration has its own transaction', async () => {
    const [url, usual] = [await createEmptyDatabase(), await createEmptyDatabase()];
    await migrateAlone(url);
    await migrate(usual);
    expect(await schemaOf(url)).toEqual(await schemaOf(usual));
  });

  it('a failed migration leaves nothing behind', async () => {
    const url = await createRailsDatabase();
    await sql(url, 'ALTER TABLE api_keys ADD COLUMN day date GENERATED ALWAYS AS (expires_at::date) STORED');
    const before = await schemaOf(url);
    const typeormsOwnWords = jest.spyOn(console, 'log').mockImplementation();
    await expect(migrateAlone(url)).rejects.toThrow(/used by a generated column/);
    typeormsOwnWords.mockRestore();
    expect(await schemaOf(url)).toEqual(before);
  });
});

it.each([
  [
    'a column',
    'metadata',
    'ALTER TABLE api_keys ADD COLUMN metadata text',
    'ALTER TABLE api_keys DROP metadata',
  ],
  ['a table', 'api_key_events', 'CREATE TABLE api_key_events (id integer)', 'DROP TABLE api_key_events'],
  [
    'a time',
    'disabled_at',
    'ALTER TABLE api_keys ADD COLUMN disabled_at timestamp',
    'ALTER TABLE api_keys DROP disabled_at',
  ],
])('an existing %s that the library did not create is reported and left unchanged', async (_, name, take, give) => {
  const url = await createRailsDatabase();
  await sql(url, take);
  const typeormsOwnWords = jest.spyOn(console, 'log').mockImplementation();
  await expect(migrate(url)).rejects.toThrow(`nestjs-api-key: ${name} already exists`);
  typeormsOwnWords.mockRestore();
  const [left] = await sql<{ type: string }>(
    url,
    `SELECT format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attrelid = 'api_keys'::regclass AND attname = $1`,
    [name],
  );
  if (left) expect(take).toMatch(new RegExp(`${name} ${left.type.replace(/ .*/, '')}`));
  await sql(url, give);
  const missing = await migrate(url);
  expect(missing).toEqual(MIGRATIONS.slice(-missing.length));
  expect(missing).not.toEqual([]);
});

it('down reports a missing table', async () => {
  const url = await createEmptyDatabase();
  const [create] = apiKeyMigrations();
  await withDataSource(libraryDataSource(url, {}, { migrations: [create] }), async (dataSource) => {
    await dataSource.runMigrations();
    await dataSource.query('DROP TABLE api_keys');
    await expect(dataSource.undoLastMigration()).rejects.toThrow(
      /there is no table api_keys that down can remove/,
    );
  });
});

it('down refuses to run if the comment of the table is missing', async () => {
  const url = await createRailsDatabase();
  await migrate(url);
  await sql(url, 'COMMENT ON TABLE api_keys IS NULL');
  await expect(revert(url)).rejects.toThrow(/no longer says whether it was created or adopted/);
  expect(await sql(url, 'SELECT count(*)::int AS keys FROM api_keys')).toEqual([{ keys: 500 }]);
});

describe('a table in another schema of the search path, for example of another tenant,', () => {
  async function databaseOfTwo(): Promise<string> {
    const url = await createEmptyDatabase();
    await migrate(url);
    await sql(url, 'CREATE SCHEMA tenant');
    return url;
  }
  const ofTenant = { extra: { options: '-c search_path=tenant,public' } };

  it('is not adopted by the migration', async () => {
    const url = await databaseOfTwo();
    const typeormsOwnWords = jest.spyOn(console, 'log').mockImplementation();
    await expect(migrate(url, {}, ofTenant)).rejects.toThrow(
      /table api_keys is in schema public, but the search path begins with tenant: set "schema"/,
    );
    typeormsOwnWords.mockRestore();
  });

  it('is not used at boot', async () => {
    const url = await databaseOfTwo();
    await withDataSource(libraryDataSource(url, {}, ofTenant), async (dataSource) => {
      const module = await Test.createTestingModule({
        imports: [ApiKeyModule.forRoot({ dataSource })],
      }).compile();
      await expect(module.createNestApplication().init()).rejects.toThrow(/is in schema public/);
    });
  });

  it('is not dropped by down', async () => {
    const url = await databaseOfTwo();
    await sql(url, 'CREATE TABLE tenant.migrations AS TABLE public.migrations');
    await expect(
      withDataSource(libraryDataSource(url, {}, ofTenant), (dataSource) => dataSource.undoLastMigration()),
    ).rejects.toThrow(/is in schema public/);
    expect(await sql(url, 'SELECT FROM public.api_keys')).toEqual([]);
  });

  it.each(['public', 'tenant'])('is used or ignored according to the option schema: %s', async (schema) => {
    const url = await databaseOfTwo();
    const meant = { ...ofTenant, schema };
    await migrate(url, {}, meant);
    await boot(libraryDataSource(url, {}, meant), (keys) => keys.create({ userId: '1', name: 'a' }));
    expect(await sql(url, `SELECT name FROM ${schema}.api_keys`)).toEqual([{ name: 'a' }]);
  });

  it('is ignored, and the tenant gets its own table', async () => {
    const url = await createEmptyDatabase();
    await sql(url, 'CREATE SCHEMA tenant');
    await migrate(url, {}, ofTenant);
    await boot(libraryDataSource(url, {}, ofTenant), (keys) => keys.create({ userId: '1', name: 'a' }));
    expect(await sql(url, 'SELECT name FROM tenant.api_keys')).toEqual([{ name: 'a' }]);
  });
});

describe('a table with the comment of this library, but with times without time zone from Rails,', () => {
  const EXPIRED_KEY = 'ab'.repeat(32);
  const addExpiredKey = (url: string) =>
    asRails(url, (client) =>
      client.query(
        `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, expires_at, created_at, updated_at)
         VALUES (1, 'expired', encode(sha256($1), 'hex'), 'prefix', now() - interval '1 hour', now(), now())`,
        [Buffer.from(EXPIRED_KEY)],
      ),
    );
  const losAngeles = session('TimeZone=America/Los_Angeles');

  it.each([
    'last_used_at',
    'expires_at',
    'created_at',
    'updated_at',
    'revoked_at',
    'disabled_at',
    'enabled_expires_at',
  ])('stops the boot for %s', async (column) => {
    const url = await createEmptyDatabase();
    await migrate(url);
    await sql(url, `ALTER TABLE api_keys ALTER ${column} TYPE timestamp(6)`);
    await expect(boot(libraryDataSource(url), async () => {})).rejects.toThrow(
      new RegExp(
        `: ${column} must be timestamptz.*SET TimeZone = 'UTC'; ALTER TABLE "public"."api_keys" ALTER COLUMN ${column} TYPE timestamptz$`,
      ),
    );
  });

  it('is migrated again, so that an expired key is refused in any time zone of the session', async () => {
    const url = await createRailsDatabase();
    await migrate(url);
    await loadByRails(url);
    await addExpiredKey(url);
    const file = `SELECT pg_relation_filenode('api_keys') AS file`;
    const before = await sql(url, file);
    await migrate(url, {}, losAngeles);
    expect(await sql(url, file)).toEqual(before);
    const verdict = await boot(libraryDataSource(url, {}, losAngeles), (keys) => keys.verify(EXPIRED_KEY));
    expect(verdict).toMatchObject({ ok: false, reason: 'expired' });
  });

  it('is restored without the added columns and with its original times', async () => {
    const url = await createRailsDatabase();
    await asRails(url, (client) =>
      client.query(
        'ALTER TABLE api_keys ALTER last_used_at TYPE timestamp(6), ALTER expires_at TYPE timestamp(6)',
      ),
    );
    const before = await schemaOf(url);
    await asRails(url, (client) => client.query('ALTER TABLE api_keys ALTER created_at TYPE timestamptz(6)'));
    await migrate(url);
    await loadByRails(url);
    await migrate(url);
    await revert(url);
    expect(await schemaOf(url)).toEqual(before);
  });

  it('is still dropped by down if the comment says that it was created', async () => {
    const url = await createEmptyDatabase();
    await migrate(url);
    const created = await sql(url, `SELECT obj_description('api_keys'::regclass) AS note`);
    await loadByRails(url);
    await migrate(url);
    expect(await sql(url, `SELECT obj_description('api_keys'::regclass) AS note`)).toEqual(created);
    await boot(libraryDataSource(url), async () => {});
    await revert(url);
    expect(await sql(url, `SELECT to_regclass('api_keys') AS found`)).toEqual([{ found: null }]);
  });

  it.each(['key_suffix', 'revoked_at'])('gets a missing %s again', async (column) => {
    const url = await createRailsDatabase();
    await migrate(url);
    const up = await schemaOf(url);
    await sql(url, `ALTER TABLE api_keys DROP COLUMN ${column}; DROP TABLE migrations`);
    await migrate(url);
    expect(await schemaOf(url)).toEqual(up);
    await boot(libraryDataSource(url), async () => {});
  });

  it('is refused if an added column has another type, and nothing is changed', async () => {
    const url = await createRailsDatabase();
    await migrate(url);
    await loadByRails(url);
    await sql(url, 'ALTER TABLE api_keys ALTER key_suffix TYPE integer USING NULL');
    const before = await schemaOf(url);
    const typeormsOwnWords = jest.spyOn(console, 'log').mockImplementation();
    await expect(migrate(url)).rejects.toThrow(/another type: key_suffix is integer/);
    typeormsOwnWords.mockRestore();
    expect(await schemaOf(url)).toEqual(before);
  });
});
