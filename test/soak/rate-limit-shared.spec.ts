import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { LimitPolicy } from 'nestjs-api-key';
import { ADAPTERS } from '../support/app';
import { createMigratedDatabase } from '../support/database';
import { printFigure } from '../support/figures';
import { Fleet } from '../support/fleet';
import { barrage, Load } from '../support/load';
import { hasRedis, hasRedisServer, ownRedis, type TestRedis, testRedis } from '../support/redis';
import {
  type Instance,
  ioredisInstance,
  nodeRedisInstance,
  postgresInstance,
} from '../support/shared-storages';
import { until } from '../support/until';

/** Where there is no Redis, these are reported as skipped. */
const withRedis = hasRedis ? describe : describe.skip;
const withRedisServer = hasRedisServer ? describe : describe.skip;

let database: string;
let redis: TestRedis | undefined;

beforeAll(async () => {
  database = await createMigratedDatabase();
  redis = hasRedis ? await testRedis() : undefined;
});

afterAll(() => redis?.stop());

/**
 * What passed of a steady overload through four instances: when each was asked, and when it was
 * known.
 */
async function overload(
  open: () => Promise<Instance>,
  key: string,
  policy: LimitPolicy,
  begin: number,
  end: number,
) {
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

const STORAGES: Readonly<Record<string, () => Promise<Instance>>> = {
  PostgreSQL: () => postgresInstance(database),
  ...(hasRedis && {
    ioredis: () => ioredisInstance(redis?.url ?? ''),
    'node-redis': () => nodeRedisInstance(redis?.url ?? ''),
  }),
};

it('under steady overload for ten windows no storage accepts more than the limit in any window', async () => {
  const begin = performance.now() + 2_000;
  await Promise.all(
    Object.entries(STORAGES).map(async ([name, open]) => {
      const policy = { limit: 100, windowMs: 2_000 };
      const end = begin + 10 * policy.windowMs;
      const passed = await overload(open, `overload ${name}`, policy, begin, end);
      for (const { asked: from } of passed) {
        const within = passed.filter(({ asked, known }) => asked >= from && known < from + policy.windowMs);
        expect(within.length).toBeLessThanOrEqual(policy.limit);
      }
      const shares: number[] = [];
      for (let from = begin; from < end; from += policy.windowMs) {
        const inWindow = passed.filter(({ known }) => known >= from && known < from + policy.windowMs);
        shares.push((100 * inWindow.length) / policy.limit);
      }
      printFigure(
        `of a limit under overload passed in the worst of ten windows, ${name}`,
        Math.min(...shares),
        '%',
        99,
      );
    }),
  );
});

const BURST = 20_000;

/**
 * Eight processes of the sample app, and how many of a burst they let pass of a limit of 1,000 an
 * hour.
 */
async function burst(settings: Readonly<Record<string, string>>): Promise<number> {
  const members = Array.from({ length: 8 }, (_, i) => ({
    adapter: i % 2 ? ('express' as const) : ('fastify' as const),
    options: { cache: { lookUpTimeoutMs: 60_000 }, rateLimit: { storageTimeoutMs: 60_000 } },
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

it('eight processes that count in PostgreSQL accept exactly 1,000 of 20,000 simultaneous requests', async () => {
  expect(await burst({ RATE_LIMIT_STORAGE: 'postgres' })).toBe(1_000);
});

withRedis('Eight processes', () => {
  it('let exactly 1,000 of 20,000 requests at once pass, counting in Redis', async () => {
    expect(await burst({ REDIS_URL: redis?.url ?? '' })).toBe(1_000);
  });
});

withRedisServer('A Redis that is stopped in mid-load', () => {
  it('makes each instance count in memory when it stops, and counts again when it is back', async () => {
    const own = await ownRedis();
    const fleet = await Fleet.start(
      ADAPTERS.map((adapter) => ({
        adapter,
        options: { cache: { lookUpTimeoutMs: 60_000 } },
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
        // It goes on from what both had used when Redis was stopped.
        expect(passed.length).toBeLessThanOrEqual(500);
        expect(passed.some(({ startedAt }) => startedAt > away)).toBe(true);
      }
      await own.start();
      const back = performance.now();
      const [other] = await fleet.issue(1, { rateLimit: { limit: 200, windowSeconds: 3_600 } });
      const again = new Load(fleet.urls, 50, () => other?.key ?? '');
      await until(async () => (await client.keys('nestjs-api-key:rate:*')).length > 0);
      printFigure('Redis that is back counts again after', performance.now() - back, 'ms');
      await again.stop();
    } finally {
      await load.stop();
      const slowest = Math.max(...load.calls.map(({ startedAt, endedAt }) => endedAt - startedAt));
      printFigure('slowest request while Redis went and came', slowest, 'ms');
      client.disconnect();
      await fleet.stop();
      await own.stop();
    }
    expect(new Set(load.calls.map(({ status }) => status))).toEqual(new Set([200, 429]));
  });
});
