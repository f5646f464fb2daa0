import { randomUUID } from 'node:crypto';
import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKey, ApiKeyInputError, ApiKeyModule, ApiKeyService } from 'nestjs-api-key';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { createMigratedDatabase, createUser } from './support/database';

const QUIETLY = { logger: false, abortOnError: false } as const;

let database: string;
let options: DataSourceOptions;

beforeAll(async () => {
  database = await createMigratedDatabase();
  options = { type: 'postgres', url: database, entities: [ApiKey] };
});

const boot = (dataSource: unknown): Promise<INestApplicationContext> =>
  NestFactory.createApplicationContext(
    ApiKeyModule.forRoot({ dataSource: dataSource as DataSource }),
    QUIETLY,
  );

/** TypeORM as a second package of a monorepo loads it: the classes of the two copies differ. */
function anotherTypeOrm(): typeof import('typeorm') {
  let copy: typeof import('typeorm') | undefined;
  jest.isolateModules(() => {
    copy = require('typeorm');
  });
  return copy as typeof import('typeorm');
}

describe('a data source of another copy of TypeORM', () => {
  let dataSource: DataSource;

  beforeAll(async () => {
    const { DataSource: OtherDataSource } = anotherTypeOrm();
    expect(OtherDataSource).not.toBe(DataSource);
    dataSource = await new OtherDataSource(options).initialize();
  });

  it('creates, verifies and revokes keys', async () => {
    const app = await boot(dataSource);
    const keys = app.get(ApiKeyService);
    const { key, apiKey } = await keys.create({ userId: await createUser(database), name: 'ci' });
    expect(await keys.verify(key)).toMatchObject({ ok: true, apiKey: { id: apiKey.id } });
    expect(await keys.revoke(apiKey.id)).toMatchObject({ apiKey: { id: apiKey.id } });
    await app.close();
  });

  it('makes an unavailable store a refusal with status 503, and not an unknown error', async () => {
    const app = await boot(dataSource);
    await dataSource.destroy();
    const created = app.get(ApiKeyService).create({ userId: '1', name: 'ci' });
    await expect(created).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    await app.close();
  });
});

describe('the boot stops and says what to do', () => {
  it('if the data source is not connected', async () => {
    const booted = boot(new DataSource(options));
    await expect(booted).rejects.toThrow(/not connected: await dataSource\.initialize\(\) before/);
  });

  it('if TypeOrmModule does not connect its data source', async () => {
    const imports = [
      TypeOrmModule.forRoot({ ...options, manualInitialization: true }),
      ApiKeyModule.forRoot(),
    ];
    const booted = NestFactory.createApplicationContext({ module: class Root {}, imports }, QUIETLY);
    await expect(booted).rejects.toThrow(/not connected: await dataSource\.initialize\(\) before/);
  });

  it('if the data source does not know the entity', async () => {
    const dataSource = await new DataSource({ ...options, entities: [] }).initialize();
    await expect(boot(dataSource)).rejects.toThrow(
      /does not know the entity ApiKey: add ApiKey to its "entities"/,
    );
    await dataSource.destroy();
  });

  it.each([
    ['the options of a data source', { type: 'postgres' }],
    ['a promise of a data source', Promise.resolve()],
    ['null', null],
  ])('if option "dataSource" is %s', async (_, given) => {
    await expect(boot(given)).rejects.toThrow(
      /option "dataSource" must be a DataSource of TypeORM, or the name/,
    );
  });
});

describe('an owner that does not fit column user_id', () => {
  it.each([
    ['a UUID in a column of bigint', randomUUID()],
    ['a text in a column of bigint', 'service-a'],
    ['a number that is too large', '9'.repeat(30)],
  ])('is refused by a message that names ownerType: %s', async (_, userId) => {
    const dataSource = await new DataSource(options).initialize();
    const app = await boot(dataSource);
    const created = app.get(ApiKeyService).create({ userId, name: 'ci' });
    await expect(created).rejects.toThrow(ApiKeyInputError);
    await expect(created).rejects.toThrow(
      /userId does not fit the type of column user_id, which option "ownerType"/,
    );
    await app.close();
    await dataSource.destroy();
  });
});
