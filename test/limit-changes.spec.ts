import { Controller, Get, Inject } from '@nestjs/common';
import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import {
  ApiKeyAuth,
  type ApiKeyOptions,
  type ApiKeyThrottlerStorage,
  type LimitPolicy,
  MemoryThrottlerStorage,
  PostgresThrottlerStorage,
  RedisThrottlerStorage,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { DataSource, type MigrationInterface } from 'typeorm';
import { AppDataSource } from '../ormconfig';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { awayFromMidnight } from './support/midnight';
import { hasRedis, type TestRedis, testRedis } from './support/redis';
import { until } from './support/until';

/** A storage whose time passes when a test says so. */
interface Aging {
  readonly storage: ApiKeyThrottlerStorage;
  /** Lets so many milliseconds pass, and forgets which refusals the process knew. */
  age(ms: number): Promise<void>;
  close(): Promise<unknown> | unknown;
}

const HOUR_MS = 3_600_000;
const LOCK = 1_764_547_200;

let database: string;
let redis: TestRedis | undefined;

beforeAll(async () => {
  database = await createMigratedDatabase();
  redis = hasRedis ? await testRedis() : undefined;
});

afterAll(() => redis?.stop());

/** That of a busy machine. */
function patient<Storage extends PostgresThrottlerStorage | RedisThrottlerStorage>(storage: Storage) {
  storage.waitAtLeast(60_000);
  return storage;
}

async function memory(): Promise<Aging> {
  let now = 0;
  const storage = new MemoryThrottlerStorage(100, () => now + performance.now());
  const age = async (ms: number) => {
    now += ms;
  };
  return { storage, age, close: () => {} };
}

async function postgres(): Promise<Aging> {
  const dataSource = await new AppDataSource(database).initialize();
  const aging = {
    storage: patient(new PostgresThrottlerStorage(dataSource)),
    async age(ms: number) {
      await dataSource.query(
        `UPDATE api_key_windows SET over_at = over_at - $1 * interval '1 millisecond',
           until = ARRAY(SELECT u - $1::float8 FROM unnest(until) WITH ORDINALITY AS e (u, at) ORDER BY at)`,
        [ms],
      );
      aging.storage = patient(new PostgresThrottlerStorage(dataSource));
    },
    close: () => dataSource.destroy(),
  };
  return aging;
}

/** Shifts what is stored; what would have expired meanwhile goes. */
const AGE = `
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local log, keep = cmsgpack.unpack(redis.call('GET', key))
  for i = 2, #log, 3 do log[i] = log[i] - tonumber(ARGV[2]) end
  local left = redis.call('PTTL', key) - tonumber(ARGV[2]) / 1000
  if left <= 0 then redis.call('DEL', key)
  else redis.call('SET', key, cmsgpack.pack(log, keep), 'PX', math.ceil(left)) end
end`;

async function redisStorage(): Promise<Aging> {
  const client = new Redis(redis?.url ?? '');
  const prefix = `test ${process.pid} ${Date.now()}:`;
  const aging = {
    storage: patient(new RedisThrottlerStorage(client, prefix)),
    async age(ms: number) {
      await client.eval(AGE, 0, `${prefix}*`, ms * 1_000);
      aging.storage = patient(new RedisThrottlerStorage(client, prefix));
    },
    close: () => client.disconnect(),
  };
  return aging;
}

const STORAGES: readonly (readonly [string, () => Promise<Aging>])[] = [
  ['memory', memory],
  ['PostgreSQL', postgres],
  ...(hasRedis ? [['Redis', redisStorage] as const] : []),
];

const per = (limit: number, seconds: number): LimitPolicy => ({ limit, windowMs: seconds * 1_000 });

/** How many hits of how many pass under a policy, or how many seconds go by. */
type Step = { readonly policy: LimitPolicy; readonly hits: number; readonly pass: number } | number;

const CASES: readonly (readonly [string, readonly Step[]])[] = [
  [
    'a window that is narrowed and given back finds what was used',
    [
      { policy: per(5, 60), hits: 5, pass: 5 },
      { policy: per(1, 10), hits: 2, pass: 0 },
      20,
      { policy: per(1, 10), hits: 2, pass: 1 },
      { policy: per(5, 60), hits: 5, pass: 0 },
      45,
      { policy: per(5, 60), hits: 9, pass: 4 },
    ],
  ],
  [
    'a window that grows finds what was used within its new length',
    [
      { policy: per(1, 1), hits: 2, pass: 1 },
      2,
      { policy: per(1, 1), hits: 2, pass: 1 },
      2,
      { policy: per(1, 1), hits: 2, pass: 1 },
      { policy: per(5, 60), hits: 5, pass: 2 },
    ],
  ],
  [
    'a window that grows to more than was ever used finds the last hour',
    [
      { policy: per(3, 1), hits: 3, pass: 3 },
      3_000,
      { policy: per(3, 1), hits: 3, pass: 3 },
      { policy: per(10, 86_400), hits: 9, pass: 4 },
    ],
  ],
  [
    'a window that was once long finds what was used within it',
    [
      { policy: per(5, 86_400), hits: 5, pass: 5 },
      7_200,
      { policy: per(1, 1), hits: 2, pass: 1 },
      7_200,
      { policy: per(1, 1), hits: 2, pass: 1 },
      { policy: per(8, 86_400), hits: 5, pass: 1 },
    ],
  ],
  [
    'a limit that changes finds all that was used',
    [
      { policy: per(5, 60), hits: 5, pass: 5 },
      { policy: per(300, 60), hits: 9, pass: 9 },
      { policy: per(10, 60), hits: 2, pass: 0 },
      { policy: per(15, 60), hits: 5, pass: 1 },
    ],
  ],
  [
    'what is over does not count',
    [
      { policy: per(5, 60), hits: 9, pass: 5 },
      61,
      { policy: per(5, 60), hits: 9, pass: 5 },
      { policy: per(5, 30), hits: 1, pass: 0 },
      31,
      { policy: per(5, 30), hits: 9, pass: 5 },
    ],
  ],
];

describe.each(STORAGES)('A limit that changes, counted in %s', (_, open) => {
  let aging: Aging;

  beforeEach(async () => {
    aging = await open();
  });
  afterEach(() => aging.close());

  it.each(CASES)('%s', async (name, steps) => {
    for (const step of steps) {
      if (typeof step === 'number') {
        await aging.age(step * 1_000);
        continue;
      }
      let passed = 0;
      for (let i = 0; i < step.hits; i++)
        if ((await aging.storage.hit(name, step.policy, 1)).passed) passed += 1;
      expect([step, passed]).toEqual([step, step.pass]);
    }
  });

  it('accepts no more in any window than an exact log of all hits', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 1, maxLength: 40 }), async (steps) => {
        const key = `any ${++run}`;
        let logged: readonly { readonly asked: number; readonly cost: number }[] = [];
        let [aged, kept] = [0, HOUR_MS];
        for (const { after, limit, windowMs, cost } of steps) {
          if (after > 0) await aging.age(after);
          aged += after;
          logged = logged.filter(({ asked }) => asked > aged + performance.now() - kept);
          kept = Math.max(kept, windowMs);
          const one = { asked: aged + performance.now(), cost: Math.min(cost, limit) };
          const hit = await aging.storage.hit(key, { limit, windowMs }, one.cost);
          if (!hit.passed) continue;
          logged = [...logged, one];
          const since = aged + performance.now() - windowMs;
          const used = logged.filter(({ asked }) => asked > since).reduce((sum, { cost }) => sum + cost, 0);
          expect(used).toBeLessThanOrEqual(limit);
        }
      }),
      { numRuns: 15 },
    );
  });
});

(hasRedis ? it : it.skip)('Redis finds what the version before has logged', async () => {
  const client = new Redis(redis?.url ?? '');
  const text = `local t = redis.call('TIME') local now = t[1] * 1000000 + t[2]
    redis.call('SET', KEYS[1], cmsgpack.pack({now, now, 2, now, now, 1}), 'PX', 60000)`;
  await client.eval(text, 1, 'before:key');
  const storage = patient(new RedisThrottlerStorage(client, 'before:'));
  expect(await storage.hit('key', per(4, 60), 1)).toMatchObject({ passed: true, remaining: 0 });
  expect(await storage.hit('key', per(4, 60), 1)).toMatchObject({ passed: false });
  client.disconnect();
});

const anyStep = fc.record({
  after: fc.constantFrom(0, 0, 0, 0, 700, 5_000, 61_000, 1_800_000, 2 * HOUR_MS),
  limit: fc.constantFrom(1, 3, 10, 300, 1_000),
  windowMs: fc.constantFrom(1_000, 10_000, 60_000, HOUR_MS, 24 * HOUR_MS),
  cost: fc.constantFrom(1, 1, 1, 2, 40),
});

@Controller()
@ApiKeyAuth()
class Routes {
  constructor(@Inject(DataSource) private readonly dataSource: DataSource) {}

  @Get()
  get() {
    return 'in';
  }

  /** Waits in the database, for as long as the test has the lock. */
  @Get('slow')
  async slow() {
    await this.dataSource.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
    return 'slow';
  }
}

describe('A key whose limits are changed', () => {
  const running: TestApp[] = [];
  let userId: string;

  beforeAll(async () => {
    userId = await createUser(database);
  });
  beforeEach(awayFromMidnight);
  afterEach(() => Promise.all(running.splice(0).map((app) => app.close())));

  async function boot(rateLimit: ApiKeyOptions['rateLimit'] = {}): Promise<TestApp> {
    const options = {
      rateLimit: { storageTimeoutMs: 60_000, ...rateLimit },
      cache: { leaseMs: 60_000, lookUpTimeoutMs: 60_000 },
    };
    const app = await bootApp({ database, controllers: [Routes], options });
    running.push(app);
    return app;
  }

  const statusOf = async (app: TestApp, key: string, path = '') =>
    (await fetch(`${app.url}/${path}`, { headers: { authorization: `Bearer ${key}` } })).status;

  async function passes(app: TestApp, key: string, count: number): Promise<number> {
    let passed = 0;
    for (let i = 0; i < count; i++) if ((await statusOf(app, key)) === 200) passed += 1;
    return passed;
  }

  it('counts its use of a monthly quota in a daily quota', async () => {
    const app = await boot();
    const { key, apiKey } = await app.keys.create({
      userId,
      name: 'ci',
      quota: { limit: 62, period: 'month' },
    });
    expect(await passes(app, key, 61)).toBe(61);
    await app.keys.update(apiKey.id, { quota: { limit: 2, period: 'day' } });
    expect(await passes(app, key, 3)).toBe(0);
    expect((await app.keys.usage(apiKey.id))?.quota).toMatchObject({ used: 61, remaining: 0 });
    await app.keys.update(apiKey.id, { quota: { limit: 62, period: 'month' } });
    expect(await passes(app, key, 3)).toBe(1);
  });

  it.each([
    'memory',
    'postgres',
  ] as const)('keeps its use if a window is narrowed and restored, counted in %s', async (storage) => {
    const app = await boot({ storage });
    const rateLimit = { limit: 5, windowSeconds: 3_600 };
    const { key, apiKey } = await app.keys.create({ userId, name: 'ci', rateLimit });
    expect(await passes(app, key, 5)).toBe(5);
    await app.keys.update(apiKey.id, { rateLimit: { limit: 1, windowSeconds: 1 } });
    await until(async () => (await statusOf(app, key)) === 200);
    await app.keys.update(apiKey.id, { rateLimit });
    expect(await passes(app, key, 5)).toBe(0);
  });

  it('keeps its use if a key without its own limit gets one', async () => {
    const app = await boot({ limit: 10, windowSeconds: 3_600 });
    const { key, apiKey } = await app.keys.create({ userId, name: 'ci' });
    expect(await passes(app, key, 4)).toBe(4);
    await app.keys.update(apiKey.id, { rateLimit: { limit: 5, windowSeconds: 3_600 } });
    expect(await passes(app, key, 3)).toBe(1);
    await app.keys.update(apiKey.id, { rateLimit: null });
    expect(await passes(app, key, 9)).toBe(5);
  });

  it.each([
    [{}, 503],
    [{ onQuotaFailure: 'local' }, 429],
  ] as const)('uses nothing more of a used-up quota while its owner keeps the pool busy: %j answers %i', async (more, expected) => {
    const [app, other] = [await boot({ storageTimeoutMs: 2_000, ...more }), await boot()];
    const { key } = await app.keys.create({ userId, name: 'ci', quota: { limit: 12, period: 'day' } });
    const { key: busy } = await app.keys.create({ userId, name: 'busy' });
    expect(await passes(other, key, 11)).toBe(11);
    expect([await statusOf(app, key), await statusOf(app, busy)]).toEqual([200, 200]);
    const holder = new Client({ connectionString: database });
    await holder.connect();
    await holder.query('SELECT pg_advisory_lock($1)', [LOCK]);
    const slow = Array.from({ length: 30 }, () => statusOf(app, busy, 'slow').catch(() => null));
    await until(async () => (await waitingFor(LOCK)) >= 10);
    expect(await statusOf(app, key)).toBe(expected);
    for (let i = 0; i < 20; i++) expect([expected, 429]).toContain(await statusOf(app, key));
    await holder.end();
    await Promise.all(slow);
  });

  async function waitingFor(lock: number): Promise<number> {
    const text = `SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted`;
    return (await sql<{ count: number }>(database, text, [lock]))[0]?.count ?? 0;
  }
});

describe('A database that is migrated', () => {
  const PRESENT = `date_trunc(period, now(), 'UTC')`;

  it('counts the use of a quota in its present period in the other period too', async () => {
    const url = await createMigratedDatabase();
    const dataSource = await new AppDataSource(url).initialize();
    const migration = new (
      dataSource.migrations.find(({ name }) => name?.startsWith('CountTogether'))
        ?.constructor as new () => MigrationInterface
    )();
    const runner = dataSource.createQueryRunner();
    await migration.down(runner);
    await runner.query(
      `INSERT INTO api_key_quotas (key_id, period, starts_at, used)
       SELECT key_id, period, ${PRESENT} - ago, used FROM (VALUES
         (1, 'month', interval '0', 61), (2, 'day', interval '0', 5), (2, 'month', interval '0', 9),
         (3, 'day', interval '40 days', 7), (4, 'day', interval '0', 8), (4, 'month', interval '40 days', 99)
       ) AS spent (key_id, period, ago, used)`,
    );
    await migration.up(runner);
    await migration.up(runner);
    const rows = await runner.query(
      `SELECT key_id, period, used::int FROM api_key_quotas WHERE starts_at = ${PRESENT} ORDER BY key_id, period`,
    );
    expect(rows.map(({ key_id, period, used }: Record<string, unknown>) => [key_id, period, used])).toEqual([
      ['1', 'day', 61],
      ['1', 'month', 61],
      ['2', 'day', 9],
      ['2', 'month', 9],
      ['4', 'day', 8],
      ['4', 'month', 8],
    ]);
    await runner.release();
    await dataSource.destroy();
  });

  it('counts windows in the same rows as instances of the previous version', async () => {
    const dataSource = await new AppDataSource(database).initialize();
    const storage = patient(new PostgresThrottlerStorage(dataSource));
    const takeAsBefore = async () => {
      const text = `SELECT granted[1] AS granted, remaining FROM nestjs_api_key_take('rolling', 4, 60000, '{1}', '{1}')`;
      return (await dataSource.query(text))[0];
    };
    expect(await storage.hit('rolling', per(4, 60), 1)).toMatchObject({ passed: true, remaining: 3 });
    expect(await takeAsBefore()).toEqual({ granted: 1, remaining: 2 });
    expect(await storage.hit('rolling', per(4, 60), 1)).toMatchObject({ passed: true, remaining: 1 });
    expect(await takeAsBefore()).toEqual({ granted: 1, remaining: 0 });
    expect(await takeAsBefore()).toEqual({ granted: 0, remaining: 0 });
    expect(await storage.hit('rolling', per(4, 60), 1)).toMatchObject({ passed: false, remaining: 0 });
    await dataSource.destroy();
  });
});
