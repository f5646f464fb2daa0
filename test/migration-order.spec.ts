import { Logger } from '@nestjs/common';
import { ApiKey, type ApiKeyMigrationOptions, apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { DataSource, type MigrationInterface, type QueryRunner } from 'typeorm';
import { createEmptyDatabase, sql } from './support/database';
import { schemaOf } from './support/schema';

type Migrations = (new () => MigrationInterface)[];

const WATCHED: ApiKeyMigrationOptions = { usersTable: 'users', watchUsers: true };
const CREATE_USERS = 'CREATE TABLE users (id bigserial PRIMARY KEY, email text)';

/** As the migration of an application that began after this library. */
class CreateUsers1790000000000 implements MigrationInterface {
  readonly name = 'CreateUsers1790000000000';
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(CREATE_USERS);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE users');
  }
}

async function withMigrations<T>(
  url: string,
  migrations: Migrations,
  work: (dataSource: DataSource) => Promise<T>,
): Promise<T> {
  const dataSource = await new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    migrations,
    uuidExtension: 'pgcrypto',
  }).initialize();
  try {
    return await work(dataSource);
  } finally {
    await dataSource.destroy();
  }
}

const migrate = (url: string, options: ApiKeyMigrationOptions, before: Migrations = []) =>
  withMigrations(url, [...before, ...apiKeyMigrations(options)], runMigrations);

/** The schema of a database whose users table came first. */
async function schemaOfUsersFirst(): Promise<string[]> {
  const url = await createEmptyDatabase();
  await sql(url, CREATE_USERS);
  await migrate(url, WATCHED);
  return (await schemaOf(url)).sort();
}

const constraints = (url: string) =>
  sql(url, `SELECT pg_get_constraintdef(oid) AS sql FROM pg_constraint WHERE contype = 'f'`);
const REFERENCE = { sql: 'FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE' };

let complain: jest.SpyInstance;

beforeEach(() => {
  complain = jest.spyOn(console, 'log').mockImplementation(); // TypeORM's own words about a failed migration
});
afterEach(() => complain.mockRestore());

describe('if the users table is created by a migration with a later number', () => {
  it.each<[string, (dataSource: DataSource) => Promise<unknown>]>([
    ['runMigrations', runMigrations],
    ['TypeORM in one transaction', (dataSource) => dataSource.runMigrations({ transaction: 'all' })],
    ['TypeORM without a transaction', (dataSource) => dataSource.runMigrations({ transaction: 'none' })],
  ])('%s creates the same tables, foreign key and triggers as if it came first', async (_, run) => {
    const url = await createEmptyDatabase();
    await withMigrations(url, [CreateUsers1790000000000, ...apiKeyMigrations(WATCHED)], run);
    expect((await schemaOf(url)).sort()).toEqual(await schemaOfUsersFirst());
    expect(await constraints(url)).toEqual([REFERENCE]);
  });

  it('all migrations can be reverted one by one, and run again', async () => {
    const url = await createEmptyDatabase();
    const migrations = [CreateUsers1790000000000, ...apiKeyMigrations(WATCHED)];
    await withMigrations(url, migrations, async (dataSource) => {
      await runMigrations(dataSource);
      for (const _ of migrations) await dataSource.undoLastMigration();
      expect(await schemaOf(url)).toEqual([]);
      await runMigrations(dataSource);
    });
    expect((await schemaOf(url)).sort()).toEqual(await schemaOfUsersFirst());
  });

  it('only the reference can be reverted, which is logged, and comes back', async () => {
    const url = await createEmptyDatabase();
    const warn = jest.spyOn(Logger.prototype, 'warn').mockReturnValue();
    await withMigrations(
      url,
      [CreateUsers1790000000000, ...apiKeyMigrations(WATCHED)],
      async (dataSource) => {
        await runMigrations(dataSource);
        await dataSource.undoLastMigration();
        expect(await constraints(url)).toEqual([]);
        expect(warn.mock.calls).toEqual([[expect.stringMatching(/keys of deleted users remain until/)]]);
        expect(await runMigrations(dataSource)).toEqual(['ReferenceUsers9999999999999']);
      },
    );
    expect(await constraints(url)).toEqual([REFERENCE]);
    warn.mockRestore();
  });

  it('a column id of another type is refused with the option to set, which then succeeds', async () => {
    class CreateUsersOfUuid extends CreateUsers1790000000000 {
      override async up(runner: QueryRunner): Promise<void> {
        await runner.query('CREATE TABLE users (id uuid PRIMARY KEY)');
      }
    }
    const url = await createEmptyDatabase();
    await expect(migrate(url, WATCHED, [CreateUsersOfUuid])).rejects.toThrow(
      /bigint and uuid.* Set option "ownerType" of apiKeyMigrations/,
    );
    await migrate(url, { ...WATCHED, ownerType: 'uuid' }, [CreateUsersOfUuid]);
    expect(await constraints(url)).toEqual([REFERENCE]);
  });
});

describe('if no migration creates the users table', () => {
  it.each([
    WATCHED,
    { usersTable: 'users' },
  ])('the migrations say what to do, and then succeed: %j', async (options) => {
    const url = await createEmptyDatabase();
    await expect(migrate(url, options)).rejects.toThrow(
      /there is no table users after all migrations, .* or correct option "usersTable"/,
    );
    await sql(url, CREATE_USERS);
    expect(await migrate(url, options)).toEqual(['ReferenceUsers9999999999999']);
    expect(await constraints(url)).toEqual([REFERENCE]);
  });
});

describe('if the table of keys exists before the option usersTable is set', () => {
  it('no foreign key is added, and triggers are', async () => {
    const url = await createEmptyDatabase();
    await migrate(url, {});
    await migrate(url, WATCHED, [CreateUsers1790000000000]);
    expect(await constraints(url)).toEqual([]);
    const triggers = await sql(
      url,
      `SELECT FROM pg_trigger WHERE tgrelid = 'users'::regclass AND tgenabled = 'A'`,
    );
    expect(triggers).toHaveLength(2);
  });

  it('a foreign key of an earlier version stays the only one', async () => {
    const url = await createEmptyDatabase();
    await sql(url, CREATE_USERS);
    const [, ...others] = apiKeyMigrations(WATCHED).toReversed();
    await withMigrations(url, others, runMigrations);
    expect(await migrate(url, WATCHED)).toEqual(['ReferenceUsers9999999999999']);
    expect(await constraints(url)).toEqual([REFERENCE]);
  });
});

it('a users table with a column id of another type is refused with the option to set', async () => {
  const url = await createEmptyDatabase();
  await sql(url, 'CREATE TABLE users (id uuid PRIMARY KEY)');
  await expect(migrate(url, WATCHED)).rejects.toThrow(/bigint and uuid.* Set option "ownerType"/);
  expect(await sql(url, `SELECT to_regclass('api_keys') AS found`)).toEqual([{ found: null }]);
});
