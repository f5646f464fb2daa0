import { Controller, Get, Logger } from '@nestjs/common';
import { ApiKeyAuth, type ApiKeyOptions, ApiKeyRefusal, type IssuedApiKey } from 'nestjs-api-key';
import { DataSource, type QueryRunner } from 'typeorm';
import { bootApp, type TestApp } from '../support/app';
import { createMigratedDatabase, createUser, sql } from '../support/database';
import { until } from '../support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

const statusOf = async (url: string, key: string) =>
  (await fetch(url, { headers: { authorization: `Bearer ${key}` } })).status;

let database: string;
let userId: string;
let app: TestApp;
let warm: IssuedApiKey;
let cold: IssuedApiKey;

const boot = async (options: ApiKeyOptions = {}, url = database) => {
  app = await bootApp({ database: url, controllers: [Routes], options });
  [warm, cold] = await Promise.all([issue(), issue()]);
  await until(() => app.keys.verificationStatus.leaseHeld);
  await until(async () => (await statusOf(app.url, warm.key)) === 200);
};
const issue = () => app.keys.create({ userId, name: 'ci' });
const countKeys = async () => Number((await sql(database, 'SELECT count(*) FROM api_keys'))[0]?.count);

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(() => app.close());

it('if all pool connections are in use, cached keys are accepted, other keys get 503 in time, and all works when connections are free', async () => {
  await boot({ cache: { leaseMs: 60_000, lookUpTimeoutMs: 200 } });
  const dataSource = app.app.get(DataSource);
  const taken: QueryRunner[] = [];
  const size = (dataSource.driver as unknown as { master: { options: { max: number } } }).master.options.max;
  for (let i = 0; i < size; i++) {
    const runner = dataSource.createQueryRunner();
    await runner.connect();
    taken.push(runner);
  }
  const before = await countKeys();
  const creating = issue();
  const [made] = await Promise.all([
    creating.then(
      () => 'made',
      (error) => error,
    ),
    (async () => {
      for (let i = 0; i < 3; i++) {
        expect(await statusOf(app.url, warm.key)).toBe(200);
        expect(await statusOf(app.url, cold.key)).toBe(503);
      }
    })(),
  ]);
  expect(made).toBeInstanceOf(ApiKeyRefusal);
  await Promise.all(taken.map((runner) => runner.release()));
  expect(await countKeys()).toBe(before);
  await until(async () => (await statusOf(app.url, cold.key)) === 200);
  expect(await statusOf(app.url, warm.key)).toBe(200);
  await issue();
  expect(await countKeys()).toBe(before + 1);
});

it('a statement_timeout changes nothing, causes 503, and leaves the connections usable', async () => {
  await boot({}, `${database}?statement_timeout=1000`);
  const before = await countKeys();
  await sql(
    database,
    `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
     CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION slow()`,
  );
  const changes = [issue(), app.keys.rotate(warm.apiKey.id), app.keys.revoke(warm.apiKey.id)];
  for (const { status, reason } of (await Promise.allSettled(changes)) as PromiseRejectedResult[])
    expect({ status, code: reason?.code }).toEqual({ status: 'rejected', code: 'KEY_STORE_UNAVAILABLE' });
  expect(await statusOf(app.url, warm.key)).toBe(200);
  await sql(database, 'DROP TRIGGER slow ON api_keys');
  expect(await countKeys()).toBe(before);
  await app.keys.revoke(warm.apiKey.id);
  expect(await statusOf(app.url, warm.key)).toBe(401);
});

describe('a full disk for the audit trail', () => {
  const fill = () =>
    sql(
      database,
      `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
       CREATE TRIGGER full_disk BEFORE INSERT ON api_key_events FOR EACH STATEMENT EXECUTE FUNCTION full_disk()`,
    );
  const empty = () => sql(database, 'DROP TRIGGER full_disk ON api_key_events');
  const eventsOf = async (type: string) =>
    (await sql(database, 'SELECT id FROM api_key_events WHERE type = $1', [type])).length;

  beforeEach(() => boot({ audit: { flushIntervalMs: 10, queueSize: 5 } }));

  it('answers every request as before, and refusals are recorded later, up to the size of the queue', async () => {
    await fill();
    const statuses = [];
    for (let i = 0; i < 10; i++)
      statuses.push(await statusOf(app.url, warm.key), await statusOf(app.url, 'not-a-key'));
    expect(new Set(statuses)).toEqual(new Set([200, 401]));
    expect(app.keys.droppedEvents).toBe(5);
    await empty();
    await until(async () => (await eventsOf('refused')) === 5);
  });

  it('creates no key without its audit event, but revokes a key and logs the missing event', async () => {
    await fill();
    const before = await countKeys();
    const logged = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => {});
    await expect(issue()).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    await expect(app.keys.rotate(cold.apiKey.id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    const revocation = await app.keys.revoke(warm.apiKey.id, { reason: 'leaked' });
    expect(revocation?.apiKey?.revokedAt).toBeInstanceOf(Date);
    const told = logged.mock.calls.flat().join('\n');
    logged.mockRestore();
    expect(told).toContain(
      `No space left on device). Missing events: revoked ${warm.apiKey.id} (${warm.apiKey.masked})`,
    );
    expect(await statusOf(app.url, warm.key)).toBe(401);
    expect(await statusOf(app.url, cold.key)).toBe(200);
    expect(await countKeys()).toBe(before);
    expect((await app.keys.revokeAll({ userId })).map(({ id }) => id)).toEqual([cold.apiKey.id]);
    await empty();
  });
});
