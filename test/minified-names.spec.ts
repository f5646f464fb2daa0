import { Controller, Get, UseGuards } from '@nestjs/common';
import * as library from 'nestjs-api-key';
import {
  ApiKey,
  ApiKeyGuard,
  ApiKeyThrottlerGuard,
  apiKeyMigrations,
  runMigrations,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import * as typeorm from 'typeorm';
import { bootApp } from './support/app';
import { createEmptyDatabase, createMigratedDatabase, createUser, sql } from './support/database';

const isClass = (value: unknown) => typeof value === 'function' && /^class\b/.test(String(value));

/** Gives every class the same name, as a bundler that shortens names does. */
beforeAll(() => {
  for (const value of [...Object.values(library), ...apiKeyMigrations(), ...Object.values(typeorm)])
    if (isClass(value)) Object.defineProperty(value, 'name', { value: 'a' });
});

it('migrations keep their names if a bundler shortens the names of classes', async () => {
  const url = await createEmptyDatabase();
  const dataSource = await new typeorm.DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    migrations: apiKeyMigrations(),
    uuidExtension: 'pgcrypto',
  }).initialize();
  const names = await runMigrations(dataSource);
  await dataSource.destroy();
  expect(names).toEqual(names.map(() => expect.stringMatching(/^[A-Z]\w+\d{13}$/)));
  expect(await sql(url, 'SELECT name FROM migrations ORDER BY id')).toEqual(names.map((name) => ({ name })));
});

describe('if a bundler shortens the names of classes', () => {
  let database: string;

  beforeAll(async () => {
    database = await createMigratedDatabase();
  });

  it('guards accept, refuse and limit keys', async () => {
    @Controller('orders')
    @UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard)
    @Scopes('orders:read')
    class a {
      @Get()
      list() {}
    }
    const rateLimit = { limit: 2, windowSeconds: 60 };
    const app = await bootApp({ database, controllers: [a], options: { rateLimit } });
    const userId = await createUser(database);
    const { key } = await app.keys.create({ userId, name: 'ci', scopes: ['orders:read'] });
    const { key: other } = await app.keys.create({ userId, name: 'without scopes' });
    const call = async (headers: Record<string, string>) =>
      (await fetch(`${app.url}/orders`, { headers })).status;
    const bearer = { authorization: `Bearer ${key}` };
    expect([await call({}), await call({ 'x-api-key': other })]).toEqual([401, 403]);
    expect([await call(bearer), await call(bearer), await call(bearer)]).toEqual([200, 200, 429]);
    await app.close();
  });

  it('the boot still stops if no guard checks scopes', async () => {
    @Controller('orders')
    @Scopes('orders:read')
    class a {
      @Get()
      list() {}
    }
    await expect(bootApp({ database, controllers: [a] })).rejects.toThrow(
      /requires scopes that no guard checks/,
    );
  });
});
