import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth, type ApiKeyOptions, type CreateApiKeyInput } from 'nestjs-api-key';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { awayFromMidnight } from './support/midnight';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

let database: string;
let userId: string;
const running: TestApp[] = [];

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

beforeEach(awayFromMidnight);

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
});

async function boot(options: ApiKeyOptions = {}): Promise<TestApp> {
  const app = await bootApp({ database, controllers: [Routes], options });
  running.push(app);
  return app;
}

const keyWith = (app: TestApp, fields: Partial<CreateApiKeyInput> = {}) =>
  app.keys.create({ userId, name: 'ci', ...fields });

async function askTimes(app: TestApp, key: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await fetch(app.url, { headers: { authorization: `Bearer ${key}` } });
}

/** Requests and refusals of all hours and of all days: a test may run across the end of one. */
async function usedOf(app: TestApp, id: string) {
  const usage = await app.keys.usage(id);
  const sum = (periods: readonly { requests: number; limited: number }[] = []) => [
    periods.reduce((all, { requests }) => all + requests, 0),
    periods.reduce((all, { limited }) => all + limited, 0),
  ];
  return { hours: sum(usage?.hours), days: sum(usage?.days) };
}

it('requests are counted by hour and day, including requests that a limit refused', async () => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app, { rateLimit: { limit: 3, windowSeconds: 3_600 } });
  await askTimes(app, key, 5);
  expect(await usedOf(app, apiKey.id)).toEqual({ hours: [5, 2], days: [5, 2] });
  await askTimes(app, key, 1);
  expect(await usedOf(app, apiKey.id)).toEqual({ hours: [6, 3], days: [6, 3] });
  const usage = await app.keys.usage(apiKey.id);
  expect(usage?.quota).toBeNull();
  expect(usage?.hours[0]?.startsAt.toISOString()).toMatch(/:00:00\.000Z$/);
  expect(usage?.days[0]?.startsAt.toISOString()).toMatch(/T00:00:00\.000Z$/);
});

it('an unused key has an empty usage, and a missing key has null', async () => {
  const app = await boot();
  const { apiKey } = await keyWith(app);
  expect(await app.keys.usage(apiKey.id)).toEqual({ quota: null, hours: [], days: [] });
  expect(await app.keys.usage('999999')).toBeNull();
  expect(await app.keys.usage('x')).toBeNull();
  expect(await app.keys.usage(apiKey.id, { userId: await createUser(database) })).toBeNull();
});

it('the counts of all instances are added, and unwritten counts are written at shutdown', async () => {
  const [one, other] = [await boot(), await boot()];
  const { key, apiKey } = await keyWith(one);
  await askTimes(one, key, 2);
  await askTimes(other, key, 3);
  await Promise.all(running.splice(0).map((app) => app.close()));
  expect(await usedOf(await boot(), apiKey.id)).toEqual({ hours: [5, 0], days: [5, 0] });
});

it('counts are written every usage.intervalMs, outside of requests', async () => {
  const app = await boot({ usage: { intervalMs: 100 } });
  const { key, apiKey } = await keyWith(app);
  await askTimes(app, key, 4);
  await until(async () => {
    const rows = await sql(
      database,
      `SELECT sum(requests)::int AS requests FROM api_key_usage WHERE key_id = ${apiKey.id}`,
    );
    return rows[0]?.requests === 8;
  });
});

it('a failed write of counts is repeated by the next write', async () => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app);
  await askTimes(app, key, 2);
  await sql(database, 'ALTER TABLE api_key_usage RENAME TO moved');
  await expect(app.keys.usage(apiKey.id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  await askTimes(app, key, 1);
  await sql(database, 'ALTER TABLE moved RENAME TO api_key_usage');
  expect(await usedOf(app, apiKey.id)).toEqual({ hours: [3, 0], days: [3, 0] });
});

it('hours are kept for 7 days and days for 90 days, and older counts are deleted', async () => {
  const app = await boot();
  const { key, apiKey } = await keyWith(app);
  await sql(
    database,
    `INSERT INTO api_key_usage SELECT ${apiKey.id}, period, date_trunc(period, now(), 'UTC') - age * interval '1 day', 1, 0
     FROM unnest('{hour,day}'::text[]) period, unnest('{6,8,89,91}'::int[]) age`,
  );
  expect(await usedOf(app, apiKey.id)).toEqual({ hours: [1, 0], days: [3, 0] });
  await askTimes(app, key, 1);
  expect(await usedOf(app, apiKey.id)).toEqual({ hours: [2, 0], days: [4, 0] });
  const rows = () => sql(database, `SELECT FROM api_key_usage WHERE key_id = ${apiKey.id}`);
  await until(async () => (await rows()).length === 6);
});

it('usage.requests: false counts nothing', async () => {
  const app = await boot({ usage: { requests: false } });
  const { key, apiKey } = await keyWith(app, { rateLimit: { limit: 1, windowSeconds: 3_600 } });
  await askTimes(app, key, 3);
  expect(await app.keys.usage(apiKey.id)).toEqual({ quota: null, hours: [], days: [] });
});
