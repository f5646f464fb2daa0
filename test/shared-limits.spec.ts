import { Controller, Get } from '@nestjs/common';
import { Redis } from 'ioredis';
import {
  ApiKeyAuth,
  type ApiKeyOptions,
  type CreateApiKeyInput,
  type IssuedApiKey,
  RedisThrottlerStorage,
  type VerifyResult,
} from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { awayFromMidnight } from './support/midnight';
import { hasRedis, type TestRedis, testRedis } from './support/redis';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

/** What an entry of column `shared_limits` says. */
interface Shared {
  readonly id: string;
  readonly rateLimit: CreateApiKeyInput['rateLimit'] | null;
  readonly quota: CreateApiKeyInput['quota'] | null;
}

const RATE = { limit: 5, windowSeconds: 3_600 };
const QUOTA = { limit: 5, period: 'day' } as const;

let database: string;
let userId: string;
let redis: TestRedis | undefined;
const running: TestApp[] = [];
const clients: Redis[] = [];

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  redis = hasRedis ? await testRedis() : undefined;
});
beforeEach(awayFromMidnight);
afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
  for (const client of clients.splice(0)) client.disconnect();
});
afterAll(() => redis?.stop());

/** Where a test is not about that, an answer that comes late must be waited for. */
async function boot(rateLimit: ApiKeyOptions['rateLimit'], count = 1): Promise<TestApp[]> {
  const options = {
    cache: { lookUpTimeoutMs: 60_000 },
    rateLimit: { storageTimeoutMs: 60_000, ...rateLimit },
  };
  const apps = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      bootApp({ database, controllers: [Routes], options, adapter: ADAPTERS[i % 2] ?? 'express' }),
    ),
  );
  running.push(...apps);
  return apps;
}

function redisStorage(): RedisThrottlerStorage {
  const client = new Redis(redis?.url ?? '');
  clients.push(client);
  return new RedisThrottlerStorage(client, `test ${process.pid} ${Date.now()}:`);
}

const issue = (app: TestApp, fields: Partial<CreateApiKeyInput> = {}): Promise<IssuedApiKey> =>
  app.keys.create({ userId, name: 'ci', ...fields });

/** A key that uses up the limits of others too. */
async function sharing(app: TestApp, shared: readonly Shared[], fields: Partial<CreateApiKeyInput> = {}) {
  const issued = await issue(app, fields);
  const text = 'UPDATE api_keys SET shared_limits = $2 WHERE id = $1';
  await sql(database, text, [issued.apiKey.id, JSON.stringify(shared)]);
  return issued;
}

/** What the instance knows of a key, which it counts by. */
const sharedBy = (known: VerifyResult) => (known.ok ? known.apiKey.sharedLimits : undefined);

const ask = (app: TestApp | undefined, { key }: IssuedApiKey) =>
  fetch(app?.url ?? '', { headers: { authorization: `Bearer ${key}` } });

async function statuses(app: TestApp | undefined, key: IssuedApiKey, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i++) found.push((await ask(app, key)).status);
  return found;
}

/** How many of so many requests of each key pass that are sent at once, over all instances. */
async function passesAtOnce(apps: readonly TestApp[], keys: readonly IssuedApiKey[], each: number) {
  const calls = keys.flatMap((key) => Array.from({ length: each }, () => key));
  const answers = await Promise.all(calls.map((key, i) => ask(apps[i % apps.length], key)));
  const found = answers.map(({ status }) => status);
  expect(new Set([...found, 200, 429])).toEqual(new Set([200, 429]));
  return found.filter((status) => status === 200).length;
}

type Storage = NonNullable<ApiKeyOptions['rateLimit']>['storage'];

const STORAGES: readonly (readonly [name: string, instances: number, open: () => Storage])[] = [
  ['memory', 1, () => 'memory'],
  ['PostgreSQL', 2, () => 'postgres'],
  ...(hasRedis ? [['Redis', 2, redisStorage] as const] : []),
];

describe.each(
  STORAGES,
)('A limited key and all keys that it created, counted in %s', (_, instances, storage) => {
  it('are accepted together no more often than its limit, in a simultaneous burst', async () => {
    const apps = await boot({ storage: storage() }, instances);
    const app = apps[0] as TestApp;
    const parent = await issue(app, { rateLimit: RATE });
    const shared = [{ id: parent.apiKey.id, rateLimit: RATE, quota: null }];
    const children = await Promise.all([1, 2, 3, 4].map(() => sharing(app, shared, { rateLimit: RATE })));
    expect(await passesAtOnce(apps, [parent, ...children], 6)).toBe(5);
    expect(await passesAtOnce(apps, [...children, parent], 2)).toBe(0);
  });

  it('count nothing for the parent if the limit of a child refuses, and nothing for the child if the parent refuses', async () => {
    const [app] = (await boot({ storage: storage() })) as [TestApp];
    const parent = await issue(app, { rateLimit: RATE });
    const shared = [{ id: parent.apiKey.id, rateLimit: RATE, quota: null }];
    const narrow = await sharing(app, shared, { rateLimit: { limit: 1, windowSeconds: 3_600 } });
    const wide = await sharing(app, shared, { rateLimit: { limit: 10, windowSeconds: 3_600 } });
    expect(await statuses(app, narrow, 4)).toEqual([200, 429, 429, 429]);
    expect(await statuses(app, parent, 2)).toEqual([200, 200]);
    expect(await statuses(app, wide, 4)).toEqual([200, 200, 429, 429]);
    await sql(database, 'UPDATE api_keys SET shared_limits = NULL WHERE id = $1', [wide.apiKey.id]);
    await until(async () => sharedBy(await app.keys.verify(wide.key)) === null);
    const alone = await ask(app, wide);
    expect(alone.headers.get('ratelimit')).toMatch(/^"key";r=7;t=\d+$/);
  });

  it('get each limit under its own name', async () => {
    const [app] = (await boot({ storage: storage() })) as [TestApp];
    const [oldest, parent] = [await issue(app), await issue(app)];
    const [a, b] = [oldest.apiKey.id, parent.apiKey.id];
    const shared = [
      { id: a, rateLimit: { limit: 50, windowSeconds: 60 }, quota: { limit: 90, period: 'month' } as const },
      { id: b, rateLimit: RATE, quota: null },
    ];
    const child = await sharing(app, shared, { rateLimit: RATE, quota: QUOTA });
    const { headers } = await ask(app, child);
    expect(headers.get('ratelimit-policy')).toMatch(
      new RegExp(
        `^"key";q=5;w=3600, "shared-${b}";q=5;w=3600, "shared-${a}";q=50;w=60, "quota";q=5;w=86400, "shared-quota-${a}";q=90;w=\\d+$`,
      ),
    );
    expect(headers.get('ratelimit')).toMatch(
      new RegExp(`^"key";r=4;t=\\d+, "shared-${b}";r=4;t=\\d+, "shared-${a}";r=49;.*, "quota";r=4;.*r=89;`),
    );
  });

  it('count in one bucket over the rotations of a key', async () => {
    const [app] = (await boot({ storage: storage() })) as [TestApp];
    const old = await issue(app, { rateLimit: RATE });
    const shared = [{ id: old.apiKey.id, rateLimit: RATE, quota: null }];
    const successor = await sharing(app, shared, { rateLimit: RATE });
    await sql(database, 'UPDATE api_keys SET bucket_id = $2 WHERE id = $1', [
      successor.apiKey.id,
      old.apiKey.id,
    ]);
    expect(await statuses(app, old, 2)).toEqual([200, 200]);
    const first = await ask(app, successor);
    expect(first.headers.get('ratelimit')).toMatch(/^"key";r=2;t=\d+$/);
    expect(await statuses(app, successor, 3)).toEqual([200, 200, 429]);
  });

  it('cause no deadlock, whichever limits they share', async () => {
    const apps = await boot(
      { storage: storage(), onStorageFailure: 'refuse', onQuotaFailure: 'refuse' },
      instances,
    );
    const app = apps[0] as TestApp;
    const wide = { limit: 1_000_000, windowSeconds: 3_600 };
    const ancestors = await Promise.all([1, 2, 3].map(() => issue(app)));
    const entries = ancestors.map(({ apiKey }) => ({
      id: apiKey.id,
      rateLimit: wide,
      quota: { limit: 1_000_000, period: 'month' as const },
    }));
    const orders = [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
      [0, 2, 1],
    ];
    const keys = await Promise.all(
      orders.map((order) =>
        sharing(
          app,
          order.map((at) => entries[at] as Shared),
        ),
      ),
    );
    expect(await passesAtOnce(apps, keys, 60)).toBe(240);
  });
});

it('a key with a quota and all keys that it created together use no more than the quota, on two instances', async () => {
  const apps = await boot({}, 2);
  const app = apps[0] as TestApp;
  const parent = await issue(app, { quota: QUOTA });
  const shared = [{ id: parent.apiKey.id, rateLimit: null, quota: QUOTA }];
  const children = await Promise.all([1, 2, 3, 4].map(() => sharing(app, shared, { quota: QUOTA })));
  expect(await passesAtOnce(apps, [parent, ...children], 6)).toBe(5);
  const refused = await ask(app, children[0] as IssuedApiKey);
  expect(await refused.json()).toMatchObject({ error: 'QUOTA_EXCEEDED' });
  expect((await app.keys.usage(parent.apiKey.id))?.quota).toMatchObject({ used: 5, remaining: 0 });
});

it('the usage of a rotated key is the usage of its bucket', async () => {
  const [app] = (await boot({})) as [TestApp];
  const [old, successor] = [await issue(app, { quota: QUOTA }), await issue(app, { quota: QUOTA })];
  await sql(database, 'UPDATE api_keys SET bucket_id = $2 WHERE id = $1', [
    successor.apiKey.id,
    old.apiKey.id,
  ]);
  expect(await statuses(app, old, 2)).toEqual([200, 200]);
  expect((await app.keys.usage(successor.apiKey.id))?.quota).toMatchObject({ used: 2, remaining: 3 });
  expect(await statuses(app, successor, 4)).toEqual([200, 200, 200, 429]);
});
