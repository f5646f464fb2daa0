import { setTimeout as delay } from 'node:timers/promises';
import { Controller, Get } from '@nestjs/common';
import { Redis } from 'ioredis';
import {
  ApiKeyAuth,
  type Hit,
  type IssuedApiKey,
  type LimitPolicy,
  PostgresThrottlerStorage,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { AppDataSource } from '../ormconfig';
import { bootApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { hasRedis, type TestRedis, testRedis } from './support/redis';
import {
  type Instance,
  ioredisInstance,
  nodeRedisInstance,
  patient,
  postgresInstance,
} from './support/shared-storages';
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

let database: string;
let redis: TestRedis | undefined;

beforeAll(async () => {
  database = await createMigratedDatabase();
  redis = hasRedis ? await testRedis() : undefined;
});

afterAll(() => redis?.stop());

const openPostgres = () => postgresInstance(database);
const openIoredis = () => ioredisInstance(redis?.url ?? '');
const openNodeRedis = () => nodeRedisInstance(redis?.url ?? '');

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

    it('counts the requests that all instances accept, and reports the remaining limit and the retry time', async () => {
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

    it('accepts exactly the limit of a burst from all instances, and reports to each accepted request what was left then', async () => {
      const [key, policy] = [newKey(), { limit: 1_000, windowMs: 3_600_000 }];
      const hits = await Promise.all(Array.from({ length: 5_000 }, (_, i) => hitAt(i, key, policy)));
      const passed = hits.filter((hit) => hit.passed);
      expect(passed).toHaveLength(1_000);
      expect(new Set(passed.map(({ remaining }) => remaining)).size).toBe(1_000);
    });

    it('never refuses a caller that stays under its limit, window after window', async () => {
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

    it('counts the cost of a hit', async () => {
      const [key, policy] = [newKey(), { limit: 10, windowMs: 60_000 }];
      const hits = await Promise.all([3, 3, 3, 3, 1, 1].map((cost) => hitAt(0, key, policy, cost)));
      expect(hits.map(({ passed }) => passed)).toEqual([true, true, true, false, true, false]);
      expect((await hitAt(1, key, policy, 11)).passed).toBe(false);
    });

    it('sends simultaneous hits in one statement for each cost', async () => {
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

    it('computes the retry time from the cost of a hit', async () => {
      const [key, policy] = [newKey(), { limit: 3, windowMs: 60_000 }];
      await hitAt(0, key, policy);
      await hitAt(0, key, policy, 2);
      const underWay = hitAt(0, key, policy, 4);
      const began = performance.now();
      const [small, large] = await Promise.all([hitAt(0, key, policy), hitAt(0, key, policy, 3)]);
      await underWay;
      // Hits of different costs are counted one after the other: the later answer is of a later
      // moment.
      const apartMs = performance.now() - began;
      expect(large.retryAfterMs + apartMs).toBeGreaterThan(small.retryAfterMs);
      const again = await hitAt(0, key, policy, 3);
      expect(again.retryAfterMs).toBeLessThanOrEqual(large.retryAfterMs);
      expect(again.resetMs).toBeLessThan(again.retryAfterMs);
    });

    it('does not overflow with the largest limit and cost', async () => {
      const [key, policy] = [newKey(), { limit: 1_000_000_000, windowMs: 31_622_400_000 }];
      const hits = await Promise.all(
        [1_000_000_000, 1, 1_000_000_001].map((cost) => hitAt(0, key, policy, cost)),
      );
      expect(hits.map(({ passed }) => passed)).toEqual([true, false, false]);
      const { storage } = instances[0] as Instance;
      const record = await storage.increment(newKey(), 1_000, Number.MAX_SAFE_INTEGER, 0, 'default');
      expect(record).toMatchObject({ totalHits: 1, isBlocked: false });
    });

    it('counts the use under an old limit in a changed limit', async () => {
      const key = newKey();
      for (let i = 0; i < 5; i++) await hitAt(i, key, { limit: 5, windowMs: 60_000 });
      expect((await hitAt(0, key, { limit: 5, windowMs: 60_000 })).passed).toBe(false);
      expect(await hitAt(0, key, { limit: 6, windowMs: 60_000 })).toMatchObject({
        passed: true,
        remaining: 0,
      });
    });

    it('sends no statement while a refusal holds', async () => {
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

contract('PostgreSQL', openPostgres);

withRedis('Redis', () => {
  contract('through ioredis', openIoredis);
  contract('through node-redis', openNodeRedis);

  it.each([
    ['ioredis', openIoredis],
    ['node-redis', openNodeRedis],
  ])('gets its scripts again after it lost them, through %s', async (_, open) => {
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
    ['ioredis', openIoredis],
    ['node-redis', openNodeRedis],
  ])('fails the hit and counts nothing if a key has a foreign value, through %s', async (_, open) => {
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

it('counts no hit of a key whose row is locked, and still counts every other key', async () => {
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
