import { Logger } from '@nestjs/common';
import { ApiKey, adoptedFromRails, apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { Client, types } from 'pg';
import { DataSource, type MigrationInterface, type QueryRunner } from 'typeorm';
import { createEmptyDatabase, sql } from './support/database';
import { createRailsDatabase } from './support/rails';
import { until } from './support/until';

/**
 * The key under which `runMigrations` locks: versions of the package that run side by side must
 * agree on it.
 */
const LOCK = '4706327181153905';

const LIMIT_MS = 800;

/**
 * A data source with one connection, whose statements may take 800 ms by the settings of server,
 * client or both.
 */
function impatientDataSource(
  url: string,
  limits: readonly ('statement_timeout' | 'query_timeout')[],
  migrations: (new () => MigrationInterface)[] = apiKeyMigrations(),
): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    migrations,
    uuidExtension: 'pgcrypto',
    installExtensions: false,
    poolSize: 1,
    extra: Object.fromEntries(limits.map((limit) => [limit, LIMIT_MS])),
  }).initialize();
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return client;
}

/**
 * Whether another session has been at, or waited in, a statement like this for longer than the
 * limit.
 */
const isBeyondLimit = (url: string, like: string, since: 'backend_start' | 'query_start') => async () => {
  const rows = await sql(
    url,
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE $1
     AND clock_timestamp() - ${since} > interval '${LIMIT_MS + 200} ms'`,
    [like],
  );
  return rows.length > 0;
};

describe.each([
  [['statement_timeout']],
  [['query_timeout']],
  [['statement_timeout', 'query_timeout']],
] as const)('if the application sets %s', (limits) => {
  it('the migration waits for another instance that takes longer', async () => {
    const url = await createEmptyDatabase();
    const other = await connect(url);
    await other.query(`SELECT pg_advisory_lock(${LOCK})`);
    const dataSource = await impatientDataSource(url, limits);
    const migrating = runMigrations(dataSource);
    await Promise.race([migrating, until(isBeyondLimit(url, '%advisory_lock%', 'backend_start'))]);
    await other.end();
    expect((await migrating)[0]).toBe('CreateApiKeys1763856000000');
    await dataSource.destroy();
  });

  it('a statement of a migration may take longer', async () => {
    const url = await createRailsDatabase();
    const reader = await connect(url);
    await reader.query('BEGIN; SELECT FROM api_keys LIMIT 1');
    const dataSource = await impatientDataSource(url, limits);
    const migrating = runMigrations(dataSource);
    await Promise.race([migrating, until(isBeyondLimit(url, 'ALTER TABLE%', 'query_start'))]);
    await reader.end();
    expect((await migrating)[0]).toBe('CreateApiKeys1763856000000');
    await dataSource.destroy();
  });
});

it('while the migration waits, a warning says who holds the lock and how to end that session', async () => {
  const url = await createEmptyDatabase();
  const holder = new Client({ connectionString: url, application_name: 'old\ninstance' });
  holder.on('error', () => {}); // it is ended below
  await holder.connect();
  const { rows } = await holder.query(`SELECT pg_backend_pid() AS pid FROM pg_advisory_lock(${LOCK})`);
  const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation();
  const dataSource = await impatientDataSource(url, []);
  const migrating = runMigrations(dataSource);
  await Promise.race([migrating, until(() => warn.mock.calls.length > 0)]);
  const [pid] = rows.map((row) => row.pid);
  expect(warn.mock.calls.join()).toMatch(
    new RegExp(
      `pid ${pid}, application "[^\\n]*", address 127.0.0.1, idle for \\d+ s.*pg_terminate_backend\\(${pid}\\)`,
    ),
  );
  await sql(url, `SELECT pg_terminate_backend(${pid})`);
  expect((await migrating)[0]).toBe('CreateApiKeys1763856000000');
  warn.mockRestore();
  await dataSource.destroy();
});

describe('after the migration the connection has the settings of the application', () => {
  class Fails1763856000001 implements MigrationInterface {
    async up(runner: QueryRunner): Promise<void> {
      await runner.query('SELECT 1/0');
    }
    async down(): Promise<void> {}
  }

  class HangsUp1763856000002 implements MigrationInterface {
    async up(runner: QueryRunner): Promise<void> {
      await runner.query('SELECT pg_terminate_backend(pg_backend_pid())');
    }
    async down(): Promise<void> {}
  }

  class LeavesTransaction1763856000003 implements MigrationInterface {
    readonly transaction = false;
    async up(runner: QueryRunner): Promise<void> {
      await runner.query('BEGIN');
      await runner.query('SELECT 1/0');
    }
    async down(): Promise<void> {}
  }

  it.each<[string, (new () => MigrationInterface)[], string]>([
    ['after a successful run', apiKeyMigrations(), 'ran'],
    ['after a failed migration', [Fails1763856000001], 'division by zero'],
    ['after a lost connection', [HangsUp1763856000002], 'terminating connection'],
    [
      'after a migration that left a failed transaction',
      [LeavesTransaction1763856000003],
      'division by zero',
    ],
  ])('%s', async (_, migrations, outcome) => {
    const url = await createEmptyDatabase();
    const dataSource = await impatientDataSource(url, ['statement_timeout', 'query_timeout'], migrations);
    const typeormsOwnWords = jest.spyOn(console, 'log').mockImplementation();
    const told = await runMigrations(dataSource).then(
      () => 'ran',
      (error) => String(error),
    );
    typeormsOwnWords.mockRestore();
    expect(told).toContain(outcome);
    expect(await dataSource.query('SHOW statement_timeout')).toEqual([
      { statement_timeout: `${LIMIT_MS}ms` },
    ]);
    const locks = `SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE locktype = 'advisory' AND datname = current_database()`;
    await until(async () => (await sql(url, locks)).length === 0);
    await dataSource.destroy();
  });

  it('with the time-out of the client', async () => {
    const url = await createEmptyDatabase();
    const other = await connect(url);
    await other.query('SELECT pg_advisory_lock(1)');
    const dataSource = await impatientDataSource(url, ['query_timeout']);
    await runMigrations(dataSource);
    await expect(dataSource.query('SELECT pg_advisory_lock(1)')).rejects.toThrow('Query read timeout');
    await other.end();
    await dataSource.destroy();
  });
});

it('a connection lost between two statements is reported with the message of PostgreSQL', async () => {
  const url = await createEmptyDatabase();
  class IsEnded1763856000005 implements MigrationInterface {
    async up(runner: QueryRunner): Promise<void> {
      const [{ pid }] = await runner.query('SELECT pg_backend_pid() AS pid');
      await sql(url, 'SELECT pg_terminate_backend($1)', [pid]);
      await until(() => runner.isReleased);
      await runner.query('SELECT 1');
    }
    async down(): Promise<void> {}
  }
  const dataSource = await impatientDataSource(url, [], [IsEnded1763856000005]);
  const typeormsOwnWords = jest.spyOn(console, 'log').mockImplementation();
  await expect(runMigrations(dataSource)).rejects.toThrow(
    'ApiKeyModule: the connection was lost during the migrations (terminating connection due to administrator command)',
  );
  typeormsOwnWords.mockRestore();
  await dataSource.destroy();
});

describe('with any settings of the application', () => {
  const BOOL = 16;
  const INT4 = 23;
  const INT8 = 20;
  const TEXT_ARRAY = 1009;
  const SET: Readonly<Record<string, string>> = {
    DateStyle: 'German, DMY',
    default_transaction_isolation: 'serializable',
    idle_in_transaction_session_timeout: '100ms',
    statement_timeout: '200ms',
  };

  /** Records what a migration finds, after a while that the time-outs would not allow. */
  class Looks1763856000004 implements MigrationInterface {
    static found: unknown;
    async up(runner: QueryRunner): Promise<void> {
      await runner.query('SELECT pg_sleep(0.3)');
      const isolation = `current_setting('transaction_isolation') AS isolation`;
      [Looks1763856000004.found] = await runner.query(
        `SELECT ${isolation}, current_setting('DateStyle') AS style, '01.02.2003'::date::text AS day`,
      );
    }
    async down(): Promise<void> {}
  }

  it('migrations run in READ COMMITTED with ISO dates, and the settings of the session are restored', async () => {
    const url = await createEmptyDatabase();
    const name = new URL(url).pathname.slice(1);
    for (const [setting, value] of Object.entries(SET))
      await sql(url, `ALTER DATABASE "${name}" SET ${setting} = '${value.replace(', ', "', '")}'`);
    const dataSource = await impatientDataSource(url, [], [Looks1763856000004]);
    await runMigrations(dataSource);
    expect(Looks1763856000004.found).toEqual({
      isolation: 'read committed',
      style: 'ISO, DMY',
      day: '2003-02-01',
    });
    const settings = Object.keys(SET).map((setting) => `current_setting('${setting}') AS "${setting}"`);
    expect(await dataSource.query(`SELECT ${settings.join(', ')}`)).toEqual([SET]);
    await dataSource.destroy();
  });

  it.each([
    ['an empty database', createEmptyDatabase],
    ['the database of a Rails app', createRailsDatabase],
  ])('%s is migrated, reverted and migrated again even if all type parsers return null', async (_, create) => {
    const url = await create();
    const before = [BOOL, INT4, INT8, TEXT_ARRAY].map((type) => [type, types.getTypeParser(type)] as const);
    for (const [type] of before) types.setTypeParser(type, () => null);
    try {
      const dataSource = await impatientDataSource(url, []);
      const all = await runMigrations(dataSource);
      expect(all).toHaveLength(apiKeyMigrations().length);
      const runner = dataSource.createQueryRunner();
      for (const migration of dataSource.migrations.toReversed()) await migration.down(runner);
      for (const migration of dataSource.migrations) await migration.up(runner);
      await runner.release();
      const isAdopted = create === createRailsDatabase;
      expect(await adoptedFromRails(dataSource)).toBe(isAdopted);
      await dataSource.destroy();
    } finally {
      for (const [type, parse] of before) types.setTypeParser(type, parse);
    }
  });
});

it.each([
  'tenant.one',
  'tenant"one',
])('runMigrations says what to do if TypeORM cannot quote the schema: %s', async (schema) => {
  const url = await createEmptyDatabase();
  const dataSource = await impatientDataSource(url, []);
  dataSource.setOptions({ schema });
  await expect(runMigrations(dataSource)).rejects.toThrow(
    /remove "schema" from the options of the data source/,
  );
  await dataSource.destroy();
});
