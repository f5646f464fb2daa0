import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Test } from '@nestjs/testing';
import { ApiKey, ApiKeyModule, ApiKeyService, apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { DataSource } from 'typeorm';
import { type EmbeddedPostgres, useEmbeddedPostgres } from '../../src/embedded-postgres';
import { createEmptyDatabase, sql } from '../support/database';
import { removeFolder, temporaryFolder } from '../support/folder';
import { hasNpmPostgres, NPM_POSTGRES, npmPostgres } from '../support/npm-postgres';
import { asRails, RAILS_DUMP, RAILS_KEYS } from '../support/rails';
import { schemaOf } from '../support/schema';

/**
 * Databases that earlier commits of this library migrated, as plain SQL, one for each set of
 * migrations. Key `a` is valid, `b` has expired, and `c` was revoked.
 */
const FOLDER = join(__dirname, '../fixtures/earlier-versions');
const EARLIER = readdirSync(FOLDER).map((file) => [file, readFileSync(join(FOLDER, file), 'utf8')] as const);
const USERS = `CREATE TABLE users (id bigserial PRIMARY KEY, email varchar NOT NULL); INSERT INTO users (email) VALUES ('a@example.com')`;

async function withDataSource<T>(url: string, work: (dataSource: DataSource) => Promise<T>): Promise<T> {
  const dataSource = await new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    migrations: apiKeyMigrations({ usersTable: 'users', watchUsers: true }),
    uuidExtension: 'pgcrypto',
    installExtensions: false,
  }).initialize();
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

const migrate = (url: string) => withDataSource(url, runMigrations);

/** What authentication says of raw keys: `valid`, or the reason of a refusal. */
async function verdicts(url: string, keys: readonly string[]): Promise<string[]> {
  return withDataSource(url, async (dataSource) => {
    const imports = [ApiKeyModule.forRoot({ dataSource, format: 'hex' })];
    const module = await Test.createTestingModule({ imports }).compile();
    await module.init();
    const results: string[] = [];
    for (const key of keys) {
      const result = await module.get(ApiKeyService).verify(key);
      results.push('reason' in result ? String(result.reason) : 'valid');
    }
    await module.close();
    return results;
  });
}

/** The tables of a database, in lines. Early commits created one index without `fastupdate`. */
async function tablesOf(url: string): Promise<string[]> {
  return (await schemaOf(url)).map((line) => line.replace(' WITH (fastupdate=off)', '')).sort();
}

async function functionsOf(url: string): Promise<string[]> {
  const functions = await sql<{ sql: string }>(
    url,
    `SELECT pg_get_functiondef(oid) AS sql FROM pg_proc WHERE proname LIKE 'nestjs_api_key%'`,
  );
  return functions.map((each) => each.sql);
}

/** Compares with a new database. Two early functions stay, with other parameters than today's. */
async function expectEqual(url: string, expected: string): Promise<void> {
  expect(await tablesOf(url)).toEqual(await tablesOf(expected));
  expect(await functionsOf(url)).toEqual(expect.arrayContaining(await functionsOf(expected)));
}

async function upgraded(url: string, dump: string): Promise<void> {
  await sql(url, `SET check_function_bodies = off; ${dump}`);
  const before = await sql<{ name: string }>(url, 'SELECT name FROM migrations');
  const ran = await migrate(url);
  const all = apiKeyMigrations({ usersTable: 'users', watchUsers: true });
  expect(ran.length + before.length).toBe(all.length);
}

/** Migrates a new database, for comparison. */
async function fresh(url: string): Promise<string> {
  await sql(url, USERS);
  await migrate(url);
  return url;
}

describe.each(EARLIER)('a database of the version %s', (_, dump) => {
  it('is upgraded to the tables and functions of a new one, with its keys', async () => {
    const url = await createEmptyDatabase();
    await upgraded(url, dump);
    await expectEqual(url, await fresh(await createEmptyDatabase()));
    const keys = ['a', 'b', 'c'].map((character) => character.repeat(64));
    expect(await verdicts(url, keys)).toEqual(['valid', 'expired', 'revoked']);
  });
});

const onNpm = hasNpmPostgres ? describe : describe.skip;

onNpm.each(NPM_POSTGRES)('on PostgreSQL %s from npm', (version) => {
  const folder = temporaryFolder();
  let server: EmbeddedPostgres;

  beforeAll(async () => {
    const binaries = npmPostgres(version, folder);
    server = await useEmbeddedPostgres({ dataDir: join(folder, 'data'), settings: ['fsync=off'], binaries });
  });
  afterAll(async () => {
    await server?.stop();
    removeFolder(folder);
  });

  async function database(name: string): Promise<string> {
    await sql(server.url, `CREATE DATABASE ${name}`);
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    return url.href;
  }

  it('each earlier version is upgraded, and its keys work', async () => {
    const expected = await fresh(await database('fresh'));
    for (const [file, dump] of EARLIER) {
      const url = await database(`from_${file.replace(/\W/g, '_')}`);
      await upgraded(url, dump);
      await expectEqual(url, expected);
      const keys = ['a', 'b', 'c'].map((character) => character.repeat(64));
      expect(await verdicts(url, keys)).toEqual(['valid', 'expired', 'revoked']);
    }
  });

  it('the table of a Rails app is adopted, its keys work, and down restores it', async () => {
    const url = await database('rails');
    await asRails(url, (client) => client.query(RAILS_DUMP));
    const before = await schemaOf(url);
    await migrate(url);
    const valid = RAILS_KEYS.filter(({ expiresAt }) => expiresAt === null).slice(0, 20);
    expect(
      new Set(
        await verdicts(
          url,
          valid.map(({ key }) => key),
        ),
      ),
    ).toEqual(new Set(['valid']));
    await withDataSource(url, async (dataSource) => {
      for (const _ of dataSource.migrations) await dataSource.undoLastMigration();
    });
    expect(await schemaOf(url)).toEqual(before);
  });
});
