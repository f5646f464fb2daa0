import { Controller, Get, type INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  ApiKey,
  ApiKeyAuth,
  ApiKeyHealthIndicator,
  type ApiKeyMigrationOptions,
  ApiKeyModule,
  ApiKeyService,
  apiKeyEntity,
  apiKeyMigrations,
  PostgresThrottlerStorage,
  runMigrations,
} from 'nestjs-api-key';
import { DataSource, DefaultNamingStrategy, type NamingStrategyInterface } from 'typeorm';
import { createEmptyDatabase, sql } from './support/database';
import { schemaOf } from './support/schema';
import { until } from './support/until';

@Controller('orders')
@ApiKeyAuth()
class OrdersController {
  @Get()
  list(): string[] {
    return [];
  }
}

class Naming extends DefaultNamingStrategy implements NamingStrategyInterface {
  constructor(private readonly change: (name: string) => string) {
    super();
  }
  override tableName(targetName: string, given: string | undefined): string {
    return this.change(super.tableName(targetName, given));
  }
}

const WATCHED: ApiKeyMigrationOptions = { usersTable: 'users', watchUsers: true };
/** Of an application of its own, which has nothing to do with this library. */
const OWN_TABLE = 'CREATE TABLE api_keys (id int PRIMARY KEY, token text, revoked_at timestamptz)';
const NAMINGS: [string, string, object][] = [
  ['entityPrefix', 'app_api_keys', { entityPrefix: 'app_' }],
  ['a naming strategy', 'svc_api_keys', { namingStrategy: new Naming((name) => `svc_${name}`) }],
  [
    'a naming strategy in upper case',
    'API_KEYS',
    { namingStrategy: new Naming((name) => name.toUpperCase()) },
  ],
  ['apiKeyEntity', 'service_keys', { entities: [apiKeyEntity({ table: 'service_keys' })] }],
];

function dataSourceOf(url: string, naming: object): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    migrations: apiKeyMigrations(WATCHED),
    uuidExtension: 'pgcrypto',
    ...naming,
  }).initialize();
}

async function boot(dataSource: DataSource): Promise<INestApplication> {
  const storage = new PostgresThrottlerStorage(dataSource);
  const rateLimit = { limit: 1_000, windowSeconds: 60, storage };
  const module = await Test.createTestingModule({
    imports: [ApiKeyModule.forRoot({ dataSource, rateLimit })],
    controllers: [OrdersController],
  }).compile();
  const app = module.createNestApplication();
  await app.listen(0, '127.0.0.1');
  return app;
}

async function databaseWithOwnTable(): Promise<string> {
  const url = await createEmptyDatabase();
  await sql(url, `${OWN_TABLE}; CREATE TABLE users (id bigint PRIMARY KEY); INSERT INTO users VALUES (7)`);
  return url;
}

describe.each(NAMINGS)('with a table named by %s', (_, table, naming) => {
  it('migrations, guards, limits, trail and feed use that table, beside a table api_keys of another shape', async () => {
    const url = await databaseWithOwnTable();
    const dataSource = await dataSourceOf(url, naming);
    await runMigrations(dataSource);
    const app = await boot(dataSource);
    const call = async (key: string) =>
      (await fetch(`${await app.getUrl()}/orders`, { headers: { 'x-api-key': key } })).status;
    const keys = app.get(ApiKeyService);
    const health = app.get(ApiKeyHealthIndicator);
    await until(async () => (await health.isHealthy()).apiKeys.leaseHeld);

    const { key, apiKey } = await keys.create({ userId: '7', name: 'a', quota: { limit: 2, period: 'day' } });
    expect([await call(key), await call(key), await call(key)]).toEqual([200, 200, 429]);
    const other = await keys.create({ userId: '7', name: 'b' });
    expect(await call(other.key)).toBe(200);
    await sql(url, `DELETE FROM "${table}" WHERE id = $1`, [other.apiKey.id]);
    await until(async () => (await call(other.key)) === 401);
    expect(await dataSource.getRepository(ApiKey).findOneByOrFail({ id: apiKey.id })).toMatchObject({
      name: 'a',
    });
    await keys.revoke(apiKey.id, { everywhere: true });
    expect(await call(key)).toBe(401);
    expect((await keys.events(apiKey.id))?.items.map(({ type }) => type)).toContain('revoked');
    await app.close();
    await dataSource.destroy();
  });

  it('down removes everything, and leaves the table api_keys', async () => {
    const url = await databaseWithOwnTable();
    const before = await schemaOf(url);
    const dataSource = await dataSourceOf(url, naming);
    await runMigrations(dataSource);
    for (const _migration of dataSource.migrations) await dataSource.undoLastMigration();
    expect(await schemaOf(url)).toEqual(before);
    const functions = `SELECT FROM pg_proc WHERE proname ~ 'nestjs_.*(_feed|_tell|_together|_mark_silent)$'`;
    expect(await sql(url, functions)).toEqual([]);
    await dataSource.destroy();
  });
});

it('two tables of keys in one schema do not touch each other', async () => {
  const url = await createEmptyDatabase();
  await sql(url, 'CREATE TABLE users (id bigint PRIMARY KEY)');
  const one = await dataSourceOf(url, {});
  await runMigrations(one);
  const before = await schemaOf(url);
  const two = await dataSourceOf(url, { entityPrefix: 'app_', migrationsTableName: 'other_migrations' });
  await runMigrations(two);
  for (const _ of two.migrations) await two.undoLastMigration();
  expect(await schemaOf(url)).toEqual(before);
  await Promise.all([one.destroy(), two.destroy()]);
});

describe('the application gets a reason if', () => {
  const bootsWith = async (url: string, naming: object) => {
    const dataSource = await dataSourceOf(url, naming);
    try {
      await (await boot(dataSource)).close();
    } finally {
      await dataSource.destroy();
    }
  };

  it('the table api_keys has another shape, when it migrates', async () => {
    const url = await databaseWithOwnTable();
    const dataSource = await dataSourceOf(url, {});
    const typeormsOwnWords = jest.spyOn(console, 'log').mockImplementation();
    await expect(runMigrations(dataSource)).rejects.toThrow(
      /table api_keys cannot be adopted: it lacks the columns user_id, name, key_digest, .*apiKeyEntity\(\{ table: 'service_keys' \}\)/,
    );
    typeormsOwnWords.mockRestore();
    await dataSource.destroy();
  });

  it('the table api_keys has another shape, when it boots', async () => {
    await expect(bootsWith(await databaseWithOwnTable(), {})).rejects.toThrow(
      /table api_keys cannot be used \(column .* does not exist\).*apiKeyEntity\(\{ table: 'service_keys' \}\)/s,
    );
  });

  it('the migrations ran without the prefix', async () => {
    const url = await createEmptyDatabase();
    await sql(url, 'CREATE TABLE users (id bigint PRIMARY KEY)');
    const dataSource = await dataSourceOf(url, {});
    await runMigrations(dataSource);
    await dataSource.destroy();
    await expect(bootsWith(url, { entityPrefix: 'app_' })).rejects.toThrow(
      /table app_api_keys cannot be used .*names the table app_api_keys, by apiKeyEntity, entityPrefix.* set "migrationsTableName"/s,
    );
  });

  it.each<[string, object, RegExp]>([
    [
      'the name is too long',
      { entityPrefix: 'a_very_long_prefix_of_an_app_' },
      /is too long: at most 33 bytes/,
    ],
    [
      'the trigger function would be that of the owners of another table',
      { entities: [apiKeyEntity({ table: 'service_key_owners' })] },
      /service_key_owners must not end in _owner or _owners/,
    ],
    [
      'there are two entities',
      { entities: [ApiKey, apiKeyEntity({ table: 'a' })] },
      /two entities of keys, .* remove one of/,
    ],
  ])('%s', async (_, naming, message) => {
    const url = await createEmptyDatabase();
    const dataSource = await dataSourceOf(url, naming);
    await expect(runMigrations(dataSource)).rejects.toThrow(message);
    await dataSource.destroy();
    await expect(bootsWith(url, naming)).rejects.toThrow(message);
  });

  it.each<[object, RegExp]>([
    [{ tabel: 'a' }, /there is no option "tabel"; the only option is table/],
    [{ table: 'Keys' }, /"table" must be a name of lower-case letters/],
    [{ table: 'a.b' }, /"table" must be a name/],
    [{ table: 'a'.repeat(34) }, /at most 33 characters/],
    [{ table: null }, /"table" must be a name/],
  ])('apiKeyEntity gets %j', (options, message) => {
    expect(() => apiKeyEntity(options)).toThrow(message);
  });

  it('the name of the table is given to apiKeyMigrations', () => {
    expect(() => apiKeyMigrations({ table: 'service_keys' } as object)).toThrow(
      /apiKeyMigrations: the name of the table is not an option here: set it with apiKeyEntity/,
    );
  });
});

it('migrations of a data source without the entity use the prefix too', async () => {
  const url = await databaseWithOwnTable();
  const dataSource = await dataSourceOf(url, { entities: [], entityPrefix: 'app_' });
  await runMigrations(dataSource);
  expect(await sql(url, `SELECT to_regclass('app_api_key_events')::text AS found`)).toEqual([
    { found: 'app_api_key_events' },
  ]);
  await dataSource.destroy();
});
