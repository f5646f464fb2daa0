import { Logger } from '@nestjs/common';
import type { ApiKeyOptions, IssuedApiKey } from 'nestjs-api-key';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { bootApp, type TestApp } from '../support/app';
import { createUser, sql } from '../support/database';
import { type QueueServer, StuckListener, startQueueServer } from '../support/full-queue';
import { layered } from '../support/layered';
import { demoKey, type Sample, startSample } from '../support/sample';
import { until } from '../support/until';

const SAMPLE_LEASE_MS = 2_000;
const LEASE = { cache: { leaseMs: 500, heartbeatMs: 50 } };

let server: QueueServer;
let userId: string;
let stuck: StuckListener | undefined;
let warnings: string[];
const running: TestApp[] = [];
const samples: Sample[] = [];

beforeAll(async () => {
  server = await startQueueServer();
});

afterAll(() => server.stop());

beforeEach(async () => {
  userId = await createUser(server.url);
  warnings = [];
  jest.spyOn(Logger.prototype, 'warn').mockImplementation((line: string) => void warnings.push(line));
});

afterEach(async () => {
  await stuck?.end();
  stuck = undefined;
  await Promise.all(running.splice(0).map((app) => app.close()));
  await Promise.all(samples.splice(0).map((sample) => sample.stop()));
  jest.restoreAllMocks();
});

/** An instance whose feed listens. */
async function instance(options: ApiKeyOptions = {}): Promise<TestApp> {
  const app = await bootApp({ database: server.url, options: layered(LEASE, options) });
  running.push(app);
  await until(() => app.keys.verificationStatus.leaseHeld);
  return app;
}

const issue = (app: TestApp): Promise<IssuedApiKey> => app.keys.create({ userId, name: 'ci' });
const accepts = async (app: TestApp, key: string) => (await app.keys.verify(key)).ok;

/** Fills the queue to a part of it, by default until PostgreSQL refuses to commit what notifies. */
async function fillQueue(part?: number): Promise<void> {
  stuck = await StuckListener.begin(server.url);
  await stuck.fill(part);
}

/** Calls an endpoint of the sample app. */
function call(sample: Sample, endpoint: string, key: string, body?: object): Promise<Response> {
  const [method, path] = endpoint.split(' ');
  return fetch(`${sample.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
}

/** The sessions that listen. */
const feeds = () =>
  sql(
    server.url,
    `SELECT pid FROM pg_stat_activity WHERE application_name = 'nestjs-api-key feed' ORDER BY pid`,
  );

/** Waits until an instance has sent a heartbeat that counts, from now on. */
function beats({ keys }: TestApp): Promise<void> {
  const now = performance.now();
  return until(
    () => (keys.verificationStatus.heartbeatAgeMs ?? Number.POSITIVE_INFINITY) < performance.now() - now,
  );
}

const ENDS: readonly [string, (id: string, app: TestApp) => Promise<unknown>][] = [
  ['revoke', (id, app) => app.keys.revoke(id)],
  ['revoke everywhere', (id, app) => app.keys.revoke(id, { everywhere: true })],
  ['disable', (id, app) => app.keys.disable(id)],
  ['revokeAll', (_, app) => app.keys.revokeAll({ userId })],
  ['delete', (id, app) => app.keys.delete(id)],
  ['a DELETE typed into psql', (id) => sql(server.url, `DELETE FROM api_keys WHERE id = ${id}`)],
  ['a deletion of the user', () => sql(server.url, `DELETE FROM users WHERE id = ${userId}`)],
];

describe('while the notification queue', () => {
  describe.each([
    ['is full', undefined],
    ['is nearly full', 0.92],
  ])('%s,', (_, part) => {
    it.each(ENDS)('%s succeeds, and no instance accepts the key once the lease is over', async (_, end) => {
      const apps = [await instance(), await instance()];
      const [first, second] = apps as [TestApp, TestApp];
      const { key, apiKey } = await issue(first);
      await beats(second);
      expect([await accepts(first, key), await accepts(second, key)]).toEqual([true, true]);
      await fillQueue(part);
      await end(apiKey.id, first);
      const ended = performance.now();
      await until(() => performance.now() - ended > LEASE.cache.leaseMs);
      expect([await accepts(first, key), await accepts(second, key)]).toEqual([false, false]);
    });
  });

  it('is full, a key is refused by all instances as soon as "revoke everywhere" is acknowledged', async () => {
    const apps = [await instance(), await instance({ cache: { leaseMs: 1_500 } })];
    const keys = await Promise.all(Array.from({ length: 20 }, () => issue(apps[0] as TestApp)));
    for (const app of apps) await beats(app);
    for (const { key } of keys) for (const app of apps) expect(await accepts(app, key)).toBe(true);
    await fillQueue();
    const ends = keys.map(async ({ key, apiKey }) => {
      await apps[0]?.keys.revoke(apiKey.id, { everywhere: true });
      return Promise.all(apps.map((app) => accepts(app, key)));
    });
    expect((await Promise.all(ends)).flat()).toEqual(Array(2 * keys.length).fill(false));
  });

  it('is full, a watched user can be changed and evicted, and the change leaves a row', async () => {
    const app = await instance();
    await fillQueue();
    await sql(server.url, `UPDATE users SET email = 'changed-${userId}@example.com' WHERE id = ${userId}`);
    await app.keys.evictOwner(userId);
    expect(await sql(server.url, 'SELECT FROM api_key_silent_changes')).not.toHaveLength(0);
  });

  it('is full, keys are created, changed and rotated as usual', async () => {
    const app = await instance();
    await fillQueue();
    const { key, apiKey } = await issue(app);
    expect(await accepts(app, key)).toBe(true);
    await app.keys.update(apiKey.id, { name: 'renamed' });
    const successor = await app.keys.rotate(apiKey.id, { overlapSeconds: 0 });
    expect([await accepts(app, key), await accepts(app, successor?.key ?? '')]).toEqual([false, true]);
  });

  it('fills up between a change and its commit, the change is repeated and recorded once', async () => {
    const app = await instance();
    const { apiKey } = await issue(app);
    await sql(
      server.url,
      `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(817); RETURN NEW; END';
       CREATE TRIGGER hold BEFORE INSERT ON api_key_events FOR EACH ROW EXECUTE FUNCTION hold()`,
    );
    const holder = new Client({ connectionString: server.url });
    await holder.connect();
    await holder.query('SELECT pg_advisory_lock(817)');
    const revoking = app.keys.revoke(apiKey.id);
    await until(
      async () =>
        (await sql(server.url, `SELECT FROM pg_stat_activity WHERE wait_event = 'advisory'`)).length > 0,
    );
    await fillQueue();
    await holder.end();
    expect((await revoking)?.apiKey?.revokedAt).toBeInstanceOf(Date);
    await sql(server.url, 'DROP FUNCTION hold() CASCADE');
    const events = await app.keys.events(apiKey.id);
    expect(events?.items.map(({ type }) => type)).toEqual(['revoked', 'created']);
  });

  it('is full, an instance looks keys up, logs it once, and caches them again by itself when the queue empties', async () => {
    const app = await instance();
    const { key } = await issue(app);
    const listening = await feeds();
    await fillQueue();
    await until(() => !app.keys.verificationStatus.leaseHeld);
    expect(app.keys.verificationStatus.notificationQueueUsage).toBe(1);
    const { master } = app.app.get(DataSource).driver as unknown as { master: { connect: () => unknown } };
    const connects = jest.spyOn(master, 'connect');
    for (let i = 0; i < 3; i++) expect(await accepts(app, key)).toBe(true);
    expect(connects.mock.calls.length).toBe(3);
    await until(() => warnings.length > 1);
    const beganAt = performance.now();
    await until(() => performance.now() - beganAt > 2 * LEASE.cache.leaseMs);
    expect(warnings.map((line) => line.slice(0, 40)).sort()).toEqual([
      'The notification queue of PostgreSQL is ',
      'The revocation feed does not work, so ke',
    ]);
    expect(warnings.join()).toMatch(/: the notification queue of PostgreSQL is full: end the session/);
    await stuck?.end();
    stuck = undefined;
    await until(() => app.keys.verificationStatus.leaseHeld);
    expect(await accepts(app, key)).toBe(true);
    await until(() => app.keys.verificationStatus.notificationQueueUsage === 0);
    expect(await feeds()).toEqual(listening);
  });

  it('is full, a starting instance verifies keys, and caches them when the queue empties', async () => {
    await fillQueue();
    const app = await bootApp({ database: server.url, options: LEASE });
    running.push(app);
    const { key } = await issue(app);
    expect(await accepts(app, key)).toBe(true);
    await until(() =>
      warnings.some((line) => /^The revocation feed does not work, .*PostgreSQL is full/.test(line)),
    );
    await stuck?.end();
    stuck = undefined;
    await until(() => app.keys.verificationStatus.leaseHeld);
  });

  it('is a quarter full, each instance logs one warning, until the queue empties', async () => {
    const app = await instance();
    await fillQueue(0.26);
    await until(() => warnings.length > 0);
    expect(warnings).toEqual([
      expect.stringMatching(/^The notification queue of PostgreSQL is 2[5-9] % full;/),
    ]);
    expect(app.keys.verificationStatus.notificationQueueUsage).toBeGreaterThanOrEqual(0.25);
    await stuck?.end();
    stuck = undefined;
    await until(() => app.keys.verificationStatus.notificationQueueUsage === 0);
    expect(warnings).toHaveLength(1);
  });
});

it('through the sample app, a key that is revoked by REST while the queue is full is refused by both instances', async () => {
  await sql(server.url, 'CREATE DATABASE sample');
  const database = Object.assign(new URL(server.url), { pathname: '/sample' }).href;
  const first = await startSample({ DATABASE_URL: database });
  const second = await startSample({ DATABASE_URL: database });
  samples.push(first, second);
  const manager = await demoKey(first);
  const made = await call(first, 'POST /api-keys', manager, { name: 'ci', scopes: ['orders:read'] });
  const { id, key } = (await made.json()) as { id: string; key: string };
  for (const sample of [first, second]) expect((await call(sample, 'GET /orders', key)).status).toBe(200);
  await fillQueue();
  expect((await call(first, `DELETE /api-keys/${id}`, manager)).status).toBe(204);
  const revoked = performance.now();
  await until(() => performance.now() - revoked > SAMPLE_LEASE_MS);
  for (const sample of [first, second]) expect((await call(sample, 'GET /orders', key)).status).toBe(401);
});
