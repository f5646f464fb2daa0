import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth, type ApiKeyOptions } from 'nestjs-api-key';
import { DataSource } from 'typeorm';
import { ADAPTERS, type Adapter, bootApp, QUIET, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

const FLOOD = 200;
const LIMIT = 10;
let database: string;
let userId: string;
let app: TestApp;

/** As issued, and of no row any more. */
let unknown: string[];

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  app = await boot('express', {});
  unknown = [];
  while (unknown.length < FLOOD) unknown.push((await app.keys.create({ userId, name: 'gone' })).key);
  await sql(database, 'DELETE FROM api_keys');
  await app.close();
});

afterEach(() => app.close());

async function boot(adapter: Adapter, failedAttempts: ApiKeyOptions['failedAttempts']): Promise<TestApp> {
  const options = { ...QUIET, failedAttempts, https: { trustProxy: ['127.0.0.0/8'] } };
  const booted = await bootApp({
    database,
    adapter,
    controllers: [Routes],
    options,
    connectTimeoutMs: 60_000,
  });
  await until(() => booted.keys.verificationStatus.leaseHeld);
  return booted;
}

const ask = async (key: string, headers: Record<string, string> = {}) =>
  (await fetch(app.url, { headers: { authorization: `Bearer ${key}`, ...headers } })).status;

/**
 * So many requests at once, each with another key that is well-formed and unknown: their answers,
 * what they cost, and how many look-ups did not have to wait for others.
 */
async function flood(headersOf: (i: number) => Record<string, string> = () => ({})) {
  const { master } = app.app.get(DataSource).driver as unknown as { master: { connect: () => unknown } };
  const connects = jest.spyOn(master, 'connect');
  const { verification } = app.keys as unknown as {
    verification: { keys: { find: (...how: unknown[]) => unknown } };
  };
  const finds = jest.spyOn(verification.keys, 'find');
  const statuses = new Set(await Promise.all(unknown.map((key, i) => ask(key, headersOf(i)))));
  const statements = connects.mock.calls.length;
  const alone = finds.mock.calls.filter(([, way]) => way === 'alone').length;
  connects.mockRestore();
  finds.mockRestore();
  return { statuses: [...statuses], statements, alone };
}

/** A new address each, as a proxy would tell it. */
const spoofed = (i: number) => ({
  'x-forwarded-proto': 'https',
  'x-forwarded-for': `203.0.113.${i % 250}, 198.51.100.${Math.floor(i / 250)}.${i}`,
  'user-agent': `client ${i}`,
});

describe.each(ADAPTERS)('on %s', (adapter) => {
  it('a flood of well-formed unknown keys from one address costs few statements, and each key is refused', async () => {
    app = await boot(adapter, { limit: LIMIT });
    const { statuses, statements, alone } = await flood();
    expect(statuses).toEqual([401]);
    expect([statements < FLOOD / 2, alone]).toEqual([true, LIMIT]);
  });

  it('headers of the caller about its address or identity have no effect', async () => {
    app = await boot(adapter, { limit: LIMIT });
    expect((await flood(spoofed)).alone).toBe(LIMIT);
  });

  it('valid keys from the same address are accepted during a flood, cached or not', async () => {
    app = await boot(adapter, { limit: LIMIT });
    const issued = await Promise.all(
      Array.from({ length: 20 }, () => app.keys.create({ userId, name: 'office' })),
    );
    const [warm] = issued;
    expect(await ask(warm?.key ?? '')).toBe(200);
    const flooding = flood();
    const statuses = await Promise.all(issued.map(({ key }) => ask(key)));
    await flooding;
    expect(new Set(statuses)).toEqual(new Set([200]));
  });

  it('a key that is revoked while its address floods is refused', async () => {
    app = await boot(adapter, { limit: LIMIT });
    await flood();
    const { key, apiKey } = await app.keys.create({ userId, name: 'leaked' });
    expect(await ask(key)).toBe(200);
    await sql(database, `UPDATE api_keys SET revoked_at = now() WHERE id = ${apiKey.id}`);
    await until(async () => (await ask(key)) === 401);
  });

  it('with a limit of null no look-up is batched', async () => {
    app = await boot(adapter, { limit: null });
    expect((await flood()).alone).toBe(FLOOD);
  });
});

it('behind a proxy that the framework trusts, each caller has its own count', async () => {
  app = await boot('express', { limit: LIMIT });
  app.app.getHttpAdapter().getInstance().set('trust proxy', 'loopback');
  const apart = (i: number) => ({
    'x-forwarded-proto': 'https',
    'x-forwarded-for': `203.0.${i % 250}.${Math.floor(i / 250)}`,
  });
  expect((await flood(apart)).alone).toBe(FLOOD);
});
