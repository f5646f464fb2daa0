import { Controller, Get, HttpCode, Post } from '@nestjs/common';
import { SkipThrottle } from '@nestjs/throttler';
import {
  ApiKeyAuth,
  ApiKeyAuthorityError,
  type ApiKeyOptions,
  Cost,
  type CreateApiKeyInput,
} from 'nestjs-api-key';
import { ADAPTERS, type Adapter, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { type FlakyProxy, flakyProxy } from './support/flaky-proxy';
import { awayFromMidnight } from './support/midnight';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
  @Post('dear')
  @HttpCode(200)
  @Cost(3)
  dear() {
    return 'dear';
  }
  @Get('free')
  @SkipThrottle()
  free() {
    return 'free';
  }
}

const DAY = { limit: 3, period: 'day' } as const;
const MONTH = { limit: 3, period: 'month' } as const;

let database: string;
let userId: string;
let proxy: FlakyProxy | undefined;
const running: TestApp[] = [];

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

beforeEach(awayFromMidnight);

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
  await proxy?.cut();
  proxy = undefined;
});

/** Where a test is not about that, an answer that comes late must not be counted here as well. */
const patient = ({ rateLimit, ...options }: ApiKeyOptions): ApiKeyOptions => ({
  ...options,
  rateLimit: { storageTimeoutMs: 60_000, ...rateLimit },
});

async function boot(
  options: ApiKeyOptions = {},
  adapter: Adapter = 'express',
  url = database,
): Promise<TestApp> {
  const app = await bootApp({ database: url, adapter, controllers: [Routes], options: patient(options) });
  running.push(app);
  return app;
}

const keyWith = (app: TestApp, fields: Partial<CreateApiKeyInput>) =>
  app.keys.create({ userId, name: 'ci', ...fields });
const ask = (app: TestApp, key: string, path = '', method = 'GET') =>
  fetch(`${app.url}/${path}`, { method, headers: { authorization: `Bearer ${key}` } });

async function statuses(app: TestApp, key: string, count: number, path = ''): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i++) found.push((await ask(app, key, path)).status);
  return found;
}

/** As if a key had spent what it has spent in the period before. */
const endPeriod = (id: string, period: string) =>
  sql(
    database,
    `UPDATE api_key_quotas SET starts_at = date_trunc('${period}', starts_at - interval '1 hour', 'UTC') WHERE key_id = ${id}`,
  );

describe.each(ADAPTERS)('on %s', (adapter) => {
  it.each([
    [DAY, /^"quota";q=3;w=86400$/],
    [MONTH, /^"quota";q=3;w=(2419200|2505600|2592000|2678400)$/],
  ] as const)('a quota of %j accepts exactly its number of requests, and reports when it resets', async (quota, policy) => {
    const app = await boot({}, adapter);
    const { key } = await keyWith(app, { quota });
    for (let left = 2; left >= 0; left--) {
      const { status, headers } = await ask(app, key);
      expect([status, headers.get('ratelimit-policy')]).toEqual([200, expect.stringMatching(policy)]);
      expect(headers.get('ratelimit')).toMatch(new RegExp(`^"quota";r=${left};t=\\d+$`));
    }
    const refused = await ask(app, key);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toEqual({
      statusCode: 429,
      error: 'QUOTA_EXCEEDED',
      message: expect.stringContaining('Retry-After'),
    });
    const [, reset] = /^"quota";r=0;t=(\d+)$/.exec(refused.headers.get('ratelimit') ?? '') ?? [];
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(Number(reset));
    const tells = await app.keys.usage((await app.keys.list({ limit: 1 })).items[0]?.id ?? '');
    const resetsAt = new Date(tells?.quota?.resetsAt ?? 0);
    expect(Math.abs(resetsAt.getTime() - Date.now() - Number(reset) * 1_000)).toBeLessThan(30_000);
    expect(resetsAt.toISOString()).toMatch(/T00:00:00\.000Z$/);
  });
});

it.each([
  'memory',
  'postgres',
] as const)('a rate limit, counted in %s, works next to a quota, and a request that it refuses uses nothing of the quota', async (storage) => {
  const app = await boot({ rateLimit: { storage } });
  const { key, apiKey } = await keyWith(app, {
    quota: { limit: 5, period: 'day' },
    rateLimit: { limit: 2, windowSeconds: 3_600 },
  });
  const { headers } = await ask(app, key);
  expect(headers.get('ratelimit-policy')).toBe('"key";q=2;w=3600, "quota";q=5;w=86400');
  expect(await statuses(app, key, 4)).toEqual([200, 429, 429, 429]);
  expect((await app.keys.usage(apiKey.id))?.quota).toMatchObject({ used: 2, remaining: 3 });
});

it('a request that the quota refuses uses nothing of the rate limit, and its Retry-After is the reset of the quota', async () => {
  const app = await boot();
  const { key } = await keyWith(app, {
    quota: { limit: 2, period: 'month' },
    rateLimit: { limit: 4, windowSeconds: 60 },
  });
  expect(await statuses(app, key, 3)).toEqual([200, 200, 429]);
  for (let i = 0; i < 4; i++) {
    const refused = await ask(app, key);
    expect(await refused.json()).toMatchObject({ error: 'QUOTA_EXCEEDED' });
    expect(refused.headers.get('ratelimit')).toMatch(/^"quota";r=0;t=\d+$/);
  }
});

it('a route has the same cost for the quota as for the rate limit, and @SkipThrottle has no cost', async () => {
  const app = await boot();
  const { key } = await keyWith(app, { quota: { limit: 4, period: 'day' } });
  expect((await ask(app, key, 'dear', 'POST')).status).toBe(200);
  expect((await ask(app, key, 'dear', 'POST')).status).toBe(429);
  expect(await statuses(app, key, 2)).toEqual([200, 429]);
  expect(await statuses(app, key, 2, 'free')).toEqual([200, 200]);
});

it('two instances share one quota, exactly, also in a burst at once', async () => {
  const apps = [await boot(), await boot({}, 'fastify')] as const;
  const { key } = await keyWith(apps[0], { quota: { limit: 50, period: 'day' } });
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => ask(apps[i % 2 ? 1 : 0], key)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(50);
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(150);
});

it('the use of a quota is kept when the application restarts', async () => {
  const { key } = await keyWith(await boot(), { quota: DAY });
  await statuses(running[0] as TestApp, key, 2);
  await running.pop()?.close();
  expect(await statuses(await boot(), key, 2)).toEqual([200, 429]);
});

it.each([DAY, MONTH])('a quota is unused in a new period: %j', async (quota) => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app, { quota });
  expect(await statuses(app, key, 3)).toEqual([200, 200, 200]);
  await endPeriod(apiKey.id, quota.period);
  expect((await app.keys.usage(apiKey.id))?.quota).toMatchObject({ used: 0, remaining: 3 });
  expect(await statuses(app, key, 4)).toEqual([200, 200, 200, 429]);
});

it('a database clock that was set back does not start an earlier period again', async () => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app, { quota: DAY });
  await statuses(app, key, 3);
  await sql(
    database,
    `UPDATE api_key_quotas SET starts_at = starts_at + interval '1 day' WHERE key_id = ${apiKey.id}`,
  );
  expect(await statuses(await boot(), key, 1)).toEqual([429]);
});

it('a changed or removed quota takes effect from then on in every instance', async () => {
  const [app, other] = [await boot(), await boot()];
  const { key, apiKey } = await keyWith(app, { quota: DAY });
  expect(await statuses(other, key, 4)).toEqual([200, 200, 200, 429]);
  const used = async (status: number) => until(async () => (await ask(other, key)).status === status);
  await app.keys.update(apiKey.id, { quota: { limit: 4, period: 'day' } });
  await used(200);
  await used(429);
  await app.keys.update(apiKey.id, { quota: null });
  await used(200);
  expect((await app.keys.get(apiKey.id))?.quota).toBeNull();
});

it.each([null, 'week'])('a quota edited by hand with the period %s is a monthly quota', async (period) => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app, {});
  const written = period === null ? 'NULL' : `'${period}'`;
  await sql(database, `UPDATE api_keys SET quota = 1, quota_period = ${written} WHERE id = ${apiKey.id}`);
  expect(await statuses(app, key, 2)).toEqual([200, 429]);
  expect((await app.keys.usage(apiKey.id))?.quota).toMatchObject({ period: 'month', used: 1 });
});

it('a rotated key and its successor share the remaining quota', async () => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app, { quota: DAY });
  await statuses(app, key, 2);
  const successor = await app.keys.rotate(apiKey.id);
  expect(successor?.apiKey).toMatchObject({ quota: 3, quotaPeriod: 'day' });
  expect(await statuses(app, successor?.key ?? '', 2)).toEqual([200, 429]);
});

it.each([
  [{}, [503, 503, 503, 503]],
  [{ onQuotaFailure: 'local' }, [200, 200, 200, 429]],
  [{ onQuotaFailure: 'open' }, [200, 200, 200, 200]],
] as const)('while the database does not answer, requests of a key with a quota are answered by %j', async (more, expected) => {
  proxy = await flakyProxy(database);
  const app = await boot(
    { cache: { serveCachedForMs: 3_600_000 }, rateLimit: { storageTimeoutMs: 500, ...more } },
    'express',
    proxy.url,
  );
  const { key } = await keyWith(app, { quota: { limit: 5, period: 'day' } });
  await until(() => app.keys.verificationStatus.leaseHeld);
  expect(await statuses(app, key, 2)).toEqual([200, 200]);
  proxy.silence('all');
  expect(await statuses(app, key, 4)).toEqual(expected);
  await proxy.mend();
});

it('a refusal by the quota is in the audit trail', async () => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app, { quota: { limit: 1, period: 'day' } });
  await statuses(app, key, 2);
  await until(async () => {
    const page = await app.keys.events(apiKey.id);
    return page?.items.some(({ details }) => (details as { reason?: string }).reason === 'quota') ?? false;
  });
});

it.each<[CreateApiKeyInput['quota'], CreateApiKeyInput['quota'], boolean]>([
  [{ limit: 100, period: 'day' }, undefined, true],
  [{ limit: 100, period: 'day' }, { limit: 100, period: 'day' }, true],
  [{ limit: 100, period: 'day' }, { limit: 101, period: 'day' }, false],
  [{ limit: 100, period: 'day' }, { limit: 100, period: 'month' }, true],
  [{ limit: 100, period: 'day' }, { limit: 101, period: 'month' }, false],
  [{ limit: 100, period: 'day' }, null, false],
  [{ limit: 310, period: 'month' }, { limit: 10, period: 'day' }, true],
  [{ limit: 310, period: 'month' }, { limit: 11, period: 'day' }, false],
  [null, { limit: 1_000_000_000, period: 'day' }, true],
])('a key with the quota %j that gives %j may: %s', async (quota, given, may) => {
  const app = await boot();
  const maker = (await keyWith(app, { quota })).apiKey;
  const made = app.keys.create(
    { userId, name: 'child', ...(given !== undefined && { quota: given }) },
    { apiKey: maker },
  );
  if (!may) return expect(made).rejects.toThrow(ApiKeyAuthorityError);
  const { apiKey } = await made;
  const expected = given === undefined ? quota : given;
  expect([apiKey.quota, apiKey.quotaPeriod]).toEqual([expected?.limit ?? null, expected?.period ?? null]);
});
