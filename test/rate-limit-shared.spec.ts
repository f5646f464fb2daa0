import { setTimeout as delay } from 'node:timers/promises';
import { Controller, Get } from '@nestjs/common';
import { Redis } from 'ioredis';
import {
  ApiKeyAuth,
  type ApiKeyThrottlerStorage,
  type Hit,
  type IssuedApiKey,
  type LimitPolicy,
  PostgresThrottlerStorage,
  RedisThrottlerStorage,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { createClient } from 'redis';
import { AppDataSource } from '../ormconfig';
import { ADAPTERS, bootApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { Fleet } from './support/fleet';
import { barrage, Load } from './support/load';
import { hasRedis, hasRedisServer, ownRedis, type TestRedis, testRedis } from './support/redis';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Limited {
  @Get()
  get() {
    return 'in';
  }
}

/** Where there is no Redis, these are reported as skipped. */
const withRedis = hasRedis ? describe : describe.skip;
const withRedisServer = hasRedisServer ? describe : describe.skip;

/** A storage, as one of several instances that share a database has it. */
interface Instance {
  readonly storage: ApiKeyThrottlerStorage;
  close(): Promise<unknown> | unknown;
}

let database: string;
let redis: TestRedis | undefined;

beforeAll(async () => {
  database = await createMigratedDatabase();
  redis = hasRedis ? await testRedis() : undefined;
});

afterAll(() => redis?.stop());

/** That of a busy machine: a hit that is given up is counted by the database all the same. */
function patient<Storage extends PostgresThrottlerStorage | RedisThrottlerStorage>(
  storage: Storage,
): Storage {
  storage.waitAtLeast(60_000);
  return storage;
}

async function postgresInstance(): Promise<Instance> {
  const dataSource = await new AppDataSource(database).initialize();
  return { storage: patient(new PostgresThrottlerStorage(dataSource)), close: () => dataSource.destroy() };
}

async function ioredisInstance(): Promise<Instance> {
  const client = new Redis(redis?.url ?? '');
  return { storage: patient(new RedisThrottlerStorage(client)), close: () => client.disconnect() };
}

async function nodeRedisInstance(): Promise<Instance> {
  const client = createClient({ url: redis?.url });
  client.on('error', () => {});
  await client.connect();
  return { storage: patient(new RedisThrottlerStorage(client)), close: () => client.destroy() };
}

/** How far the clock of a database may be from ours, which a busy machine reads late. */
const CLOCKS_MS = 200;

let lastKey = 0;
const newKey = () => `test ${process.pid} ${Date.now()} ${lastKey++}`;

const contract = (name: string, open: () => Promise<Instance>) => {
  describe(name, () => {
    let instances: Instance[] = [];

    beforeAll(async () => {
      instances = await Promise.all(Array.from({ length: 4 }, open));
    });
    afterAll(() => Promise.all(instances.map((instance) => instance.close())));

    const hitAt = async (at: number, key: string, policy: LimitPolicy, cost = 1): Promise<Hit> =>
      (instances[at % instances.length] as Instance).storage.hit(key, policy, cost);

    it('counts what all instances let pass together, and says what is left and when to come back', async () => {
      const [key, policy] = [newKey(), { limit: 3, windowMs: 60_000 }];
      expect(await hitAt(0, key, policy)).toMatchObject({ passed: true, remaining: 2, retryAfterMs: 0 });
      expect(await hitAt(1, key, policy, 2)).toMatchObject({ passed: true, remaining: 0 });
      const refused = await hitAt(2, key, policy);
      expect(refused).toMatchObject({ passed: false, remaining: 0 });
      expect(refused.retryAfterMs).toBeGreaterThan(50_000);
      expect(refused.retryAfterMs).toBeLessThanOrEqual(60_000);
      expect(refused.resetMs).toBeLessThanOrEqual(refused.retryAfterMs);
      expect((await hitAt(0, newKey(), policy)).passed).toBe(true);
    });

    it('passes exactly the limit of a burst from all instances, and tells each that passed what was left then', async () => {
      const [key, policy] = [newKey(), { limit: 1_000, windowMs: 3_600_000 }];
      const hits = await Promise.all(Array.from({ length: 5_000 }, (_, i) => hitAt(i, key, policy)));
      const passed = hits.filter((hit) => hit.passed);
      expect(passed).toHaveLength(1_000);
      expect(new Set(passed.map(({ remaining }) => remaining)).size).toBe(1_000);
    });

    it('refuses none of a caller that stays under its limit, window after window', async () => {
      const [key, policy] = [newKey(), { limit: 20, windowMs: 500 }];
      const answeredAt: number[] = [];
      for (let i = 0; i < 4 * policy.limit; i++) {
        const fitsAt =
          (answeredAt[i - policy.limit] ?? Number.NEGATIVE_INFINITY) + policy.windowMs + CLOCKS_MS;
        await delay(Math.max(0, fitsAt - performance.now()));
        expect(await hitAt(i, key, policy)).toMatchObject({ passed: true });
        answeredAt.push(performance.now());
      }
    });

    it('weighs what a hit costs', async () => {
      const [key, policy] = [newKey(), { limit: 10, windowMs: 60_000 }];
      const hits = await Promise.all([3, 3, 3, 3, 1, 1].map((cost) => hitAt(0, key, policy, cost)));
      expect(hits.map(({ passed }) => passed)).toEqual([true, true, true, false, true, false]);
      expect((await hitAt(1, key, policy, 11)).passed).toBe(false);
    });

    it('asks for hits that come together in one question for each cost', async () => {
      const [key, policy] = [newKey(), { limit: 100, windowMs: 60_000 }];
      const { storage } = instances[0] as Instance;
      const take = jest.spyOn(storage as unknown as { take: () => Promise<unknown> }, 'take');
      const costs = Array.from({ length: 300 }, (_, i) => (i % 3) + 1);
      const hits = await Promise.all(costs.map(async (cost) => storage.hit(key, policy, cost)));
      expect(take.mock.calls.length).toBeLessThanOrEqual(4);
      take.mockRestore();
      const spent = hits.map(({ passed }, i) => (passed ? (costs[i] ?? 0) : 0));
      expect(spent.reduce((sum, cost) => sum + cost, 0)).toBe(policy.limit);
      const left = hits.filter(({ passed }) => passed).map(({ remaining }) => remaining);
      expect(Math.min(...left)).toBe(0);
      expect(new Set(left).size).toBe(left.length);
      for (const { passed, retryAfterMs } of hits) expect(retryAfterMs > 0).toBe(!passed);
    });

    it('says when to come back by what a hit costs', async () => {
      const [key, policy] = [newKey(), { limit: 3, windowMs: 60_000 }];
      await hitAt(0, key, policy);
      await hitAt(0, key, policy, 2);
      const underWay = hitAt(0, key, policy, 4);
      const [small, large] = await Promise.all([hitAt(0, key, policy), hitAt(0, key, policy, 3)]);
      await underWay;
      expect(large.retryAfterMs).toBeGreaterThan(small.retryAfterMs);
      const again = await hitAt(0, key, policy, 3);
      expect(again.retryAfterMs).toBeLessThanOrEqual(large.retryAfterMs);
      expect(again.resetMs).toBeLessThan(again.retryAfterMs);
    });

    it('of the largest limit and cost nothing overflows', async () => {
      const [key, policy] = [newKey(), { limit: 1_000_000_000, windowMs: 31_622_400_000 }];
      const hits = await Promise.all(
        [1_000_000_000, 1, 1_000_000_001].map((cost) => hitAt(0, key, policy, cost)),
      );
      expect(hits.map(({ passed }) => passed)).toEqual([true, false, false]);
      const { storage } = instances[0] as Instance;
      const record = await storage.increment(newKey(), 1_000, Number.MAX_SAFE_INTEGER, 0, 'default');
      expect(record).toMatchObject({ totalHits: 1, isBlocked: false });
    });

    it('counts a limit that is changed on what was used under the old one', async () => {
      const key = newKey();
      for (let i = 0; i < 5; i++) await hitAt(i, key, { limit: 5, windowMs: 60_000 });
      expect((await hitAt(0, key, { limit: 5, windowMs: 60_000 })).passed).toBe(false);
      expect(await hitAt(0, key, { limit: 6, windowMs: 60_000 })).toMatchObject({
        passed: true,
        remaining: 0,
      });
    });

    it('asks nothing more while a refusal holds', async () => {
      const [key, policy] = [newKey(), { limit: 1, windowMs: 60_000 }];
      await hitAt(0, key, policy);
      await hitAt(0, key, policy);
      const { storage } = instances[0] as Instance;
      const take = jest.spyOn(storage as unknown as { take: () => Promise<unknown> }, 'take');
      for (let i = 0; i < 100; i++) expect((await hitAt(0, key, policy)).passed).toBe(false);
      expect(take).not.toHaveBeenCalled();
      take.mockRestore();
    });

    it('serves the guard of @nestjs/throttler', async () => {
      const { storage } = instances[0] as Instance;
      const key = newKey();
      const increment = () => storage.increment(key, 60_000, 1, 60_000, 'default');
      expect(await increment()).toMatchObject({ totalHits: 1, isBlocked: false, timeToBlockExpire: 0 });
      const refused = await increment();
      expect(refused).toMatchObject({ totalHits: 2, isBlocked: true });
      expect(refused.timeToBlockExpire).toBeGreaterThan(50);
      expect(refused.timeToBlockExpire).toBeLessThanOrEqual(60);
    });
  });
};

contract('PostgreSQL', postgresInstance);

withRedis('Redis', () => {
  contract('through ioredis', ioredisInstance);
  contract('through node-redis', nodeRedisInstance);

  it.each([
    ['ioredis', ioredisInstance],
    ['node-redis', nodeRedisInstance],
  ])('that has forgotten its scripts is told them again, through %s', async (_, open) => {
    const admin = new Redis(redis?.url ?? '');
    const { storage, close } = await open();
    await admin.script('FLUSH');
    try {
      expect(await storage.hit(newKey(), { limit: 1, windowMs: 60_000 }, 1)).toMatchObject({ passed: true });
    } finally {
      admin.disconnect();
      await close();
    }
  });

  it.each([
    ['ioredis', ioredisInstance],
    ['node-redis', nodeRedisInstance],
  ])('that holds something else under a key fails the hit, and counts nothing, through %s', async (_, open) => {
    const [admin, key] = [new Redis(redis?.url ?? ''), newKey()];
    const { storage, close } = await open();
    await admin.set(`nestjs-api-key:rate:${key}`, 'text');
    try {
      await expect(storage.hit(key, { limit: 1, windowMs: 60_000 }, 1)).rejects.toThrow(/^ERR /);
      expect(await admin.get(`nestjs-api-key:rate:${key}`)).toBe('text');
    } finally {
      admin.disconnect();
      await close();
    }
  });
});

/** What passed of a steady overload through four instances: when each was asked, and when it was known. */
async function overload(open: () => Promise<Instance>, policy: LimitPolicy, begin: number, end: number) {
  const key = newKey();
  const instances = await Promise.all(Array.from({ length: 4 }, open));
  const passed: { readonly asked: number; readonly known: number }[] = [];
  const insist = async ({ storage }: Instance) => {
    await delay(begin - performance.now());
    while (performance.now() < end) {
      const asked = performance.now();
      const hit = await Promise.resolve(storage.hit(key, policy, 1)).catch(() => null);
      if (hit?.passed) passed.push({ asked, known: performance.now() });
      else await delay(1);
    }
  };
  await Promise.all([...instances, ...instances, ...instances].map(insist));
  await Promise.all(instances.map((instance) => instance.close()));
  return passed;
}

it('of steady overload for ten windows no storage lets more than the limit pass in any window, and each 99 % of it in each', async () => {
  const policy = { limit: 100, windowMs: 2_000 };
  const begin = performance.now() + 2_000;
  const end = begin + 10 * policy.windowMs;
  const storages = [postgresInstance, ...(hasRedis ? [ioredisInstance, nodeRedisInstance] : [])];
  const records = await Promise.all(storages.map((open) => overload(open, policy, begin, end)));
  for (const passed of records) {
    for (const { asked: from } of passed) {
      const within = passed.filter(({ asked, known }) => asked >= from && known < from + policy.windowMs);
      expect(within.length).toBeLessThanOrEqual(policy.limit);
    }
    for (let from = begin; from < end; from += policy.windowMs) {
      const inWindow = passed.filter(({ known }) => known >= from && known < from + policy.windowMs);
      expect(inWindow.length).toBeGreaterThanOrEqual(0.99 * policy.limit);
    }
  }
});

it('PostgreSQL removes windows that are over, once a minute, beside a hit', async () => {
  const dataSource = await new AppDataSource(database).initialize();
  let now = 0;
  const storage = patient(new PostgresThrottlerStorage(dataSource, () => now));
  const keysLeft = async () =>
    (await sql(database, `SELECT key FROM api_key_windows WHERE key LIKE 'short %'`)).length;
  for (let i = 0; i < 5; i++) await storage.hit(`short ${i}`, { limit: 1, windowMs: 1 }, 1);
  expect(await keysLeft()).toBe(5);
  await sql(
    database,
    `UPDATE api_key_windows SET over_at = over_at - interval '1 hour' WHERE key LIKE 'short %'`,
  );
  now = 60_000;
  await until(async () => {
    now += 60_000;
    await storage.hit('long', { limit: 1_000_000, windowMs: 60_000 }, 1);
    return (await keysLeft()) === 0;
  });
  await dataSource.destroy();
});

it('of a key whose row is locked no hit is counted, and every other key is as before', async () => {
  const app = await bootApp({
    database,
    controllers: [Limited],
    options: { rateLimit: { storage: 'postgres', onStorageFailure: 'refuse', storageTimeoutMs: 2_000 } },
  });
  const userId = await createUser(database);
  const issue = () =>
    app.keys.create({ userId, name: 'ci', rateLimit: { limit: 1_000, windowSeconds: 3_600 } });
  const [stuck, fine] = [await issue(), await issue()];
  const ask = async ({ key }: IssuedApiKey) =>
    (await fetch(app.url, { headers: { authorization: `Bearer ${key}` } })).status;
  expect([await ask(stuck), await ask(fine)]).toEqual([200, 200]);
  const other = new Client({ connectionString: database });
  await other.connect();
  await other.query(`BEGIN; SELECT FROM api_key_windows WHERE key = '${stuck.apiKey.id}' FOR UPDATE`);
  let answer: number | undefined;
  void ask(stuck).then((status) => {
    answer = status;
  });
  while (answer === undefined) expect(await ask(fine)).toBe(200);
  expect(answer).toBe(503);
  for (let i = 0; i < 20; i++) expect(await ask(fine)).toBe(200);
  await other.query('ROLLBACK');
  await other.end();
  await until(async () => (await ask(stuck)) === 200);
  await app.close();
});

const BURST = 20_000;

/** Eight processes of the sample app, and how many of a burst they let pass of a limit of 1,000 an hour. */
async function burst(settings: Readonly<Record<string, string>>): Promise<number> {
  const members = Array.from({ length: 8 }, (_, i) => ({
    adapter: i % 2 ? ('express' as const) : ('fastify' as const),
    options: { lookUpTimeoutMs: 60_000, rateLimit: { storageTimeoutMs: 60_000 } },
    isDirect: true,
    env: settings,
  }));
  const fleet = await Fleet.start(members);
  try {
    const [issued] = await fleet.issue(1, { rateLimit: { limit: 1_000, windowSeconds: 3_600 } });
    const calls = await barrage(fleet.urls, issued?.key ?? '', BURST);
    expect(new Set(calls.map(({ status }) => status))).toEqual(new Set([200, 429]));
    return calls.filter(({ status }) => status === 200).length;
  } finally {
    await fleet.stop();
  }
}

it('eight processes let exactly 1,000 of 20,000 requests at once pass, counting in PostgreSQL', async () => {
  expect(await burst({ RATE_LIMIT_STORAGE: 'postgres' })).toBe(1_000);
});

withRedis('Eight processes', () => {
  it('let exactly 1,000 of 20,000 requests at once pass, counting in Redis', async () => {
    expect(await burst({ REDIS_URL: redis?.url ?? '' })).toBe(1_000);
  });
});

withRedisServer('A Redis that is stopped in mid-load', () => {
  it('leaves each instance counting in memory, and counts again when it is back', async () => {
    const own = await ownRedis();
    const fleet = await Fleet.start(
      ADAPTERS.map((adapter) => ({
        adapter,
        options: { lookUpTimeoutMs: 60_000 },
        isDirect: true,
        env: { REDIS_URL: own.url },
      })),
    );
    const client = new Redis(own.url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
    client.on('error', () => {});
    const [issued] = await fleet.issue(1, { rateLimit: { limit: 500, windowSeconds: 3_600 } });
    const load = new Load(fleet.urls, 100, () => issued?.key ?? '');
    try {
      await until(() => load.calls.length > 50);
      await own.stop();
      const away = performance.now();
      await until(() =>
        fleet.urls.every((_, at) =>
          load.calls.some((made) => made.at === at && made.startedAt > away && made.status === 429),
        ),
      );
      for (const at of fleet.urls.keys()) {
        const passed = load.calls.filter((made) => made.at === at && made.status === 200);
        expect(passed).toHaveLength(500);
      }
      await own.start();
      const back = performance.now();
      const [other] = await fleet.issue(1, { rateLimit: { limit: 200, windowSeconds: 3_600 } });
      const again = new Load(fleet.urls, 50, () => other?.key ?? '');
      await until(async () => (await client.keys('nestjs-api-key:rate:*')).length > 0);
      process.stdout.write(`Redis counts again after ${(performance.now() - back).toFixed(0)} ms\n`);
      await again.stop();
    } finally {
      await load.stop();
      const slowest = Math.max(...load.calls.map(({ startedAt, endedAt }) => endedAt - startedAt));
      process.stdout.write(`slowest request while Redis went and came: ${slowest.toFixed(0)} ms\n`);
      client.disconnect();
      await fleet.stop();
      await own.stop();
    }
    expect(new Set(load.calls.map(({ status }) => status))).toEqual(new Set([200, 429]));
  });
});
