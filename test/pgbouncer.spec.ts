import { ApiKey, apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { openDatabase } from '../src/database/open-database';
import { createEmptyDatabase, sql } from './support/database';
import { hasPgBouncer, pgBouncer } from './support/pgbouncer';

type Settings = Readonly<Record<string, string | number>>;

const onPgBouncer = hasPgBouncer ? describe : describe.skip;

function connect(url: string): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    migrations: apiKeyMigrations(),
    uuidExtension: 'pgcrypto',
    installExtensions: false,
  }).initialize();
}

async function migrate(url: string): Promise<string[]> {
  const dataSource = await connect(url);
  try {
    return await runMigrations(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

/** Opens transactions at once, so that the pooler keeps as many idle sessions afterwards. */
async function warm(url: string, count: number): Promise<void> {
  const clients = Array.from({ length: count }, () => new Client({ connectionString: url }));
  for (const client of clients) await client.connect().then(() => client.query('BEGIN'));
  for (const client of clients) await client.query('COMMIT');
  for (const client of clients) await client.end();
}

const locks = (url: string) =>
  sql(
    url,
    `SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
  );

onPgBouncer('through PgBouncer in transaction mode', () => {
  it.each<[string, Settings, number]>([
    ['with its other defaults', {}, 0],
    ['with idle sessions', {}, 5],
    ['that takes turns among idle sessions', { server_round_robin: 1 }, 5],
    ['with one session', { default_pool_size: 1 }, 0],
  ])('runMigrations refuses the pooler by name, and leaves no lock: %s', async (_, settings, idle) => {
    const database = await createEmptyDatabase();
    const pooled = await pgBouncer(database, { pool_mode: 'transaction', ...settings });
    await warm(pooled, idle);
    const outcomes = await Promise.allSettled(Array.from({ length: 4 }, () => migrate(pooled)));
    const { port } = new URL(pooled);
    for (const outcome of outcomes)
      expect(outcome).toMatchObject({
        reason: { message: expect.stringContaining(`through the pooler at 127.0.0.1:${port}`) },
      });
    expect(await locks(database)).toEqual([]);
    expect(await sql(database, `SELECT to_regclass('api_keys') AS found`)).toEqual([{ found: null }]);
    expect(await migrate(database)).toHaveLength(apiKeyMigrations().length);
  });
});

onPgBouncer('through PgBouncer in session mode', () => {
  it.each<[string, Settings]>([
    ['with its other defaults', {}],
    ['with one session', { default_pool_size: 1 }],
  ])('runMigrations migrates once: %s', async (_, settings) => {
    const database = await createEmptyDatabase();
    const pooled = await pgBouncer(database, settings);
    expect(await migrate(pooled)).toHaveLength(apiKeyMigrations().length);
    expect(await migrate(pooled)).toEqual([]);
    expect(await locks(database)).toEqual([]);
  });

  it('the sample names the setting that PgBouncer needs, and opens its database with it', async () => {
    const database = await createEmptyDatabase();
    await expect(openDatabase(await pgBouncer(database))).rejects.toThrow(
      'Set ignore_startup_parameters = statement_timeout in pgbouncer.ini',
    );
    const settings = { ignore_startup_parameters: 'statement_timeout' };
    const dataSource = await openDatabase(await pgBouncer(database, settings));
    expect(await sql(database, `SELECT to_regclass('api_keys')::text AS found`)).toEqual([
      { found: 'api_keys' },
    ]);
    await dataSource.destroy();
  });
});
