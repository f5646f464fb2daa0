import { Controller, Get } from '@nestjs/common';
import {
  ApiKeyAuth,
  ApiKeyGuard,
  ApiKeyHealthIndicator,
  type ApiKeyOptions,
  ApiKeyThrottlerGuard,
  CurrentUser,
  type IssuedApiKey,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { type FlakyProxy, flakyProxy } from './support/flaky-proxy';
import { layered } from './support/layered';
import { until } from './support/until';

/**
 * A warm instance trusts what it remembers for half a second, so that tests of the lease are short.
 */
const LEASE = { cache: { leaseMs: 500, heartbeatMs: 50 } };

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get(@CurrentUser() user: unknown) {
    return user;
  }
}

let database: string;
let userId: string;
const running: TestApp[] = [];
const proxies: FlakyProxy[] = [];

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
  await Promise.all(proxies.splice(0).map((proxy) => proxy.cut()));
});

async function wayTo(url: string): Promise<FlakyProxy> {
  const proxy = await flakyProxy(url);
  proxies.push(proxy);
  return proxy;
}

/** An instance whose feed listens. */
async function instance(options: ApiKeyOptions = {}, url = database): Promise<TestApp> {
  const app = await bootApp({ database: url, controllers: [Routes], options: layered(LEASE, options) });
  running.push(app);
  await until(() => app.keys.verificationStatus.leaseHeld);
  return app;
}

const issue = (app: TestApp): Promise<IssuedApiKey> => app.keys.create({ userId, name: 'ci' });
const accepts = async (app: TestApp, key: string) => (await app.keys.verify(key)).ok;
const status = async (app: TestApp, key: string) =>
  (await fetch(app.url, { headers: { authorization: `Bearer ${key}` } })).status;

/** Waits until an instance has heard of all that is committed by now. */
function hearsAllSoFar({ keys }: TestApp): Promise<void> {
  const now = performance.now();
  return until(
    () => (keys.verificationStatus.heartbeatAgeMs ?? Number.POSITIVE_INFINITY) < performance.now() - now,
  );
}

/** Statements that the pool of an instance is given from now on. */
function countStatements(app: TestApp): () => number {
  const { master } = app.app.get(DataSource).driver as unknown as { master: { connect: () => unknown } };
  const connects = jest.spyOn(master, 'connect');
  return () => connects.mock.calls.length;
}

it('a request with a cached key sends no statement, and none for its user', async () => {
  const loadUser = jest.fn(async (id: string) => ({ id }));
  const app = await instance({
    loadUser,
    usage: { lastUsedIntervalMs: 3_600_000 },
    cache: { leaseMs: 60_000 },
  });
  const { key } = await issue(app);
  expect(await status(app, key)).toBe(200);
  const statements = countStatements(app);
  for (let i = 0; i < 50; i++) expect(await status(app, key)).toBe(200);
  expect([statements(), loadUser.mock.calls.length]).toEqual([0, 1]);
});

it('a thousand requests with one uncached key send one query', async () => {
  const app = await instance();
  const { key } = await issue(app);
  await hearsAllSoFar(app);
  const statements = countStatements(app);
  const outcomes = await Promise.all(Array.from({ length: 1_000 }, () => app.keys.verify(key)));
  expect(outcomes.every(({ ok }) => ok)).toBe(true);
  expect(statements()).toBe(1);
});

it('three hundred simultaneous HTTP requests with one uncached key send one query and load its user once', async () => {
  const loadUser = jest.fn(async (id: string) => ({ id }));
  const app = await instance({
    loadUser,
    cache: { leaseMs: 60_000 },
    usage: { lastUsedIntervalMs: 3_600_000 },
  });
  const { key } = await issue(app);
  await hearsAllSoFar(app);
  const statements = countStatements(app);
  const statuses = await Promise.all(Array.from({ length: 300 }, () => status(app, key)));
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect([statements(), loadUser.mock.calls.length]).toEqual([1, 1]);
});

describe('a change by another instance or psql reaches an instance with a cached key by the feed:', () => {
  it.each<[string, (id: string, other: TestApp) => Promise<unknown>]>([
    ['a revocation', (id, other) => other.keys.revoke(id)],
    ['a revocation of all keys of the owner', (_, other) => other.keys.revokeAll({ userId })],
    ['a deletion', (id, other) => other.keys.delete(id)],
    ['a rotation without overlap', (id, other) => other.keys.rotate(id, { overlapSeconds: 0 })],
    ['DELETE', (id) => sql(database, `DELETE FROM api_keys WHERE id = ${id}`)],
    [
      'UPDATE of the expiry',
      (id) => sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = ${id}`),
    ],
    ['UPDATE of the digest', (id) => sql(database, `UPDATE api_keys SET key_digest = 'x' WHERE id = ${id}`)],
    ['TRUNCATE', () => sql(database, 'TRUNCATE api_keys')],
    ['deletion of the user, which cascades', () => sql(database, `DELETE FROM users WHERE id = ${userId}`)],
    [
      'DELETE in a session with the role replica, as in a logical subscription',
      (id) => sql(database, `SET session_replication_role = replica; DELETE FROM api_keys WHERE id = ${id}`),
    ],
  ])('%s', async (_, end) => {
    const [app, other] = [await instance({ cache: { leaseMs: 60_000 } }), await instance()];
    const { key, apiKey } = await issue(other);
    expect([await accepts(app, key), await accepts(app, key)]).toEqual([true, true]);
    await end(apiKey.id, other);
    await until(async () => !(await accepts(app, key)));
  });

  it('a change of scopes', async () => {
    const [app, other] = [await instance({ cache: { leaseMs: 60_000 } }), await instance()];
    const { key, apiKey } = await issue(other);
    await accepts(app, key);
    await other.keys.update(apiKey.id, { scopes: ['orders:read'] });
    await until(async () => {
      const result = await app.keys.verify(key);
      return result.ok && result.apiKey.hasScope('orders:read');
    });
  });

  it('a key that is inserted just after it was refused', async () => {
    const app = await instance({ cache: { leaseMs: 60_000 } });
    const { key, apiKey } = await issue(app);
    const [row] = await sql<Record<string, unknown>>(
      database,
      `DELETE FROM api_keys WHERE id = ${apiKey.id} RETURNING *`,
    );
    await until(async () => !(await accepts(app, key)));
    await sql(
      database,
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, created_at, updated_at) VALUES ($1, 'again', $2, 'p', now(), now())`,
      [userId, row?.key_digest],
    );
    await until(() => accepts(app, key));
  });

  it('but a use does not evict the key', async () => {
    const app = await instance({ cache: { leaseMs: 60_000 }, usage: { lastUsedIntervalMs: 100 } });
    const { key, apiKey } = await issue(app);
    await app.keys.authenticate(key);
    await until(async () => (await app.keys.get(apiKey.id))?.lastUsedAt !== null);
    await accepts(app, key);
    const statements = countStatements(app);
    expect(await accepts(app, key)).toBe(true);
    expect(statements()).toBe(0);
  });
});

it('the revoking instance refuses the key from the acknowledgement on, whatever the feed does', async () => {
  const app = await instance({ cache: { leaseMs: 60_000 } });
  for (let i = 0; i < 50; i++) {
    const { key, apiKey } = await issue(app);
    await accepts(app, key);
    await app.keys.revoke(apiKey.id);
    expect(await accepts(app, key)).toBe(false);
  }
});

describe('no instance accepts a key in a request that starts after "revoke everywhere" was acknowledged, even if', () => {
  it('its listening connection was killed in between, again and again', async () => {
    const [app, other] = [await instance(), await instance()];
    const killing = setInterval(
      () =>
        void sql(
          database,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nestjs-api-key feed' AND datname = current_database()`,
        ),
      100,
    );
    try {
      for (let i = 0; i < 3; i++) {
        const { key, apiKey } = await issue(other);
        await accepts(app, key);
        await other.keys.revoke(apiKey.id, { everywhere: true });
        expect(await accepts(app, key)).toBe(false);
      }
    } finally {
      clearInterval(killing);
    }
  });

  it('it is cut off from the database', async () => {
    const proxy = await wayTo(database);
    const other = await instance();
    const app = await instance({}, proxy.url);
    const { key, apiKey } = await issue(other);
    expect(await accepts(app, key)).toBe(true);
    await proxy.cut();
    await other.keys.revoke(apiKey.id, { everywhere: true });
    await expect(app.keys.verify(key)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    await proxy.mend();
    await until(async () => (await app.keys.verify(key).catch(() => ({ ok: true }))).ok === false);
    await until(() => app.keys.verificationStatus.leaseHeld);
  });

  it('the network to the database drops everything', async () => {
    const proxy = await wayTo(database);
    const other = await instance();
    const app = await instance({ cache: { lookUpTimeoutMs: 200 } }, proxy.url);
    const { key, apiKey } = await issue(other);
    await until(() => accepts(app, key).catch(() => false));
    proxy.silence('all');
    await other.keys.revoke(apiKey.id, { everywhere: true });
    await expect(app.keys.verify(key)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    await proxy.cut();
    await proxy.mend();
  });

  it('it has a longer lease than the revoking instance', async () => {
    const proxy = await wayTo(database);
    const other = await instance();
    const app = await instance({ cache: { leaseMs: 3_000 } }, proxy.url);
    const { key, apiKey } = await issue(other);
    expect(await accepts(app, key)).toBe(true);
    await proxy.cut();
    await other.keys.revoke(apiKey.id, { everywhere: true });
    await expect(app.keys.verify(key)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    await proxy.mend();
  });
});

/** Puts another table in the place of `api_keys`, with its rows and its triggers. */
async function replaceTable(create: string): Promise<void> {
  const triggers = await sql<{ definition: string; name: string }>(
    database,
    `SELECT pg_get_triggerdef(oid) AS definition, tgname AS name FROM pg_trigger WHERE tgrelid = 'api_keys'::regclass AND NOT tgisinternal`,
  );
  const install = triggers.map(
    ({ definition, name }) =>
      `${definition.replace('api_keys_before', 'api_keys')}; ALTER TABLE api_keys ENABLE ALWAYS TRIGGER ${name};`,
  );
  await sql(
    database,
    `BEGIN; ALTER TABLE api_keys RENAME TO api_keys_before; ${create} ${install.join(' ')}
     INSERT INTO api_keys SELECT * FROM api_keys_before; COMMIT`,
  );
}

const PARTITIONED = `CREATE TABLE api_keys (LIKE api_keys_before INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY HASH (key_digest);
  ALTER TABLE api_keys ADD PRIMARY KEY (id, key_digest);
  CREATE TABLE api_keys_even PARTITION OF api_keys FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE TABLE api_keys_odd PARTITION OF api_keys FOR VALUES WITH (MODULUS 2, REMAINDER 1);`;

describe('for keys in partitions by digest', () => {
  it.each<[string, (id: string, other: TestApp) => Promise<unknown>]>([
    ['a revocation', (id, other) => other.keys.revoke(id)],
    ['a deletion', (id) => sql(database, 'DELETE FROM api_keys WHERE id = $1', [id])],
  ])('%s reaches an instance with a cached key by the feed', async (_, end) => {
    await replaceTable(PARTITIONED);
    const [app, other] = [await instance(), await instance()];
    for (let i = 0; i < 8; i++) {
      const { key, apiKey } = await issue(other);
      expect(await accepts(app, key)).toBe(true);
      await end(apiKey.id, other);
      await until(async () => !(await accepts(app, key)));
    }
  });
});

it('a replaced table is noticed at once, and changes of its keys are received', async () => {
  const [app, other] = [await instance(), await instance()];
  const { key, apiKey } = await issue(other);
  expect(await accepts(app, key)).toBe(true);
  await replaceTable('CREATE TABLE api_keys (LIKE api_keys_before INCLUDING ALL);');
  await other.keys.revoke(apiKey.id);
  await until(async () => !(await accepts(app, key)));
  await until(() => app.keys.verificationStatus.leaseHeld);
  const again = await issue(other);
  expect(await accepts(app, again.key)).toBe(true);
  await other.keys.revoke(again.apiKey.id);
  await until(async () => !(await accepts(app, again.key)));
});

it('while the database is unreachable, a key is accepted until the lease ends, then answered with 503, and accepted again when the database is back', async () => {
  const proxy = await wayTo(database);
  const app = await instance({ cache: { leaseMs: 5_000 } }, proxy.url);
  const { key } = await app.keys.create({ userId, name: 'ci' });
  expect(await status(app, key)).toBe(200);
  await proxy.cut();
  expect(await status(app, key)).toBe(200);
  await until(async () => (await status(app, key)) === 503);
  await proxy.mend();
  await until(async () => (await status(app, key)) === 200);
});

it('with cache.serveCachedForMs a cached key is accepted for that longer time while the database is unreachable', async () => {
  const proxy = await wayTo(database);
  const app = await instance({ cache: { serveCachedForMs: 60_000 } }, proxy.url);
  const { key } = await app.keys.create({ userId, name: 'ci' });
  await status(app, key);
  await proxy.cut();
  await until(() => (app.keys.verificationStatus.heartbeatAgeMs ?? 0) > 2 * LEASE.cache.leaseMs);
  expect(await status(app, key)).toBe(200);
  const [row] = await sql<{ trust_ms: string }>(database, 'SELECT trust_ms FROM api_key_trust');
  expect(row?.trust_ms).toBe('60000');
  await proxy.mend();
});

it.each([
  ['back', -86_400_000],
  ['forth', 86_400_000],
])('a wall clock set a day %s makes an instance neither accept an expired key nor refuse a valid one', async (_, offset) => {
  const app = await instance({ cache: { leaseMs: 60_000 } });
  const [live, ending] = [await issue(app), await issue(app)];
  await app.keys.update(live.apiKey.id, { expiresAt: new Date(Date.now() + 3_600_000) });
  await sql(
    database,
    `UPDATE api_keys SET expires_at = clock_timestamp() + interval '500 ms' WHERE id = ${ending.apiKey.id}`,
  );
  await until(() => accepts(app, live.key));
  await accepts(app, ending.key);
  await until(async () => !(await accepts(app, ending.key)));
  const { now } = Date;
  const wall = jest.spyOn(Date, 'now').mockImplementation(() => now() + offset);
  for (let i = 0; i < 20; i++)
    expect([await accepts(app, live.key), await accepts(app, ending.key)]).toEqual([true, false]);
  wall.mockRestore();
  expect([await accepts(app, live.key), await accepts(app, ending.key)]).toEqual([true, false]);
});

it('a cached key is still accepted an hour after its look-up while the database does not answer look-ups', async () => {
  const app = await instance({ cache: { leaseMs: 60_000, heartbeatMs: 250, lookUpTimeoutMs: 200 } });
  const { key } = await issue(app);
  await until(async () => (await status(app, key)) === 200);
  const { keys } = app;
  const lock = new Client({ connectionString: database });
  await lock.connect();
  await lock.query('BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
  // No heartbeat is in flight soon after one has come back.
  await until(() => Number(keys.verificationStatus.heartbeatAgeMs) < 100);
  const { now } = performance;
  const later = jest.spyOn(performance, 'now').mockImplementation(() => now.call(performance) + 3_600_000);
  try {
    await until(() => keys.verificationStatus.leaseHeld);
    expect(keys.verificationStatus.cacheSize).toBe(1);
    for (let i = 0; i < 5; i++) expect(await status(app, key)).toBe(200);
  } finally {
    later.mockRestore();
    await lock.end();
  }
});

it('without its triggers nothing is cached, and a revocation takes effect at once', async () => {
  await sql(database, 'ALTER TABLE api_keys DISABLE TRIGGER nestjs_api_key_feed_delete');
  const app = await bootApp({ database, controllers: [Routes], options: LEASE });
  running.push(app);
  const { key, apiKey } = await issue(app);
  for (let i = 0; i < 5; i++) expect(await accepts(app, key)).toBe(true);
  expect(app.keys.verificationStatus).toMatchObject({ leaseHeld: false, cacheSize: 0 });
  await sql(database, `DELETE FROM api_keys WHERE id = ${apiKey.id}`);
  expect(await accepts(app, key)).toBe(false);
});

it('a deleted owner is refused after its key is evicted, and a user is loaded again after cache.userCacheMs', async () => {
  const users = new Map([[userId, { id: userId }]]);
  const app = await instance({
    loadUser: async (id) => users.get(id) ?? null,
    cache: { userCacheMs: 100, leaseMs: 60_000 },
  });
  const { key } = await issue(app);
  expect(await status(app, key)).toBe(200);
  users.clear();
  await until(async () => (await status(app, key)) === 401);
});

it('a prepared look-up survives a change of the types of its columns', async () => {
  const app = await bootApp({ database, controllers: [Routes], options: { cache: { size: 0 } } });
  running.push(app);
  const { key } = await issue(app);
  expect(await accepts(app, key)).toBe(true);
  await sql(database, 'ALTER TABLE api_keys ALTER COLUMN name TYPE text');
  for (let i = 0; i < 20; i++) expect(await accepts(app, key)).toBe(true);
});

describe('a cached user is loaded again in every instance', () => {
  /**
   * Two warm instances that ask this table of users, and what the other one says of the user of a
   * key.
   */
  async function twoInstances() {
    const loadUser = async (id: string) =>
      (await sql<{ email: string }>(database, 'SELECT email FROM users WHERE id = $1', [id]))[0];
    const options = { loadUser, cache: { userCacheMs: 60_000, leaseMs: 60_000 } };
    const [app, other] = [await instance(options), await instance(options)];
    const { key } = await issue(app);
    const emailAt = async (at: TestApp) => {
      const answer = await fetch(at.url, { headers: { authorization: `Bearer ${key}` } });
      return ((await answer.json()) as { email: string }).email;
    };
    await emailAt(app);
    await emailAt(other);
    return { app, other, emailAt };
  }

  it('after evictOwner', async () => {
    await sql(database, 'DROP TRIGGER nestjs_api_key_owner_change ON users');
    const { app, other, emailAt } = await twoInstances();
    await sql(database, `UPDATE users SET email = 'new@example.com' WHERE id = ${userId}`);
    expect(await emailAt(app)).not.toBe('new@example.com');
    await app.keys.evictOwner(userId);
    expect(await emailAt(app)).toBe('new@example.com');
    await until(async () => (await emailAt(other)) === 'new@example.com');
  });

  it('after a change of the row, if the migration watches the users', async () => {
    const { other, emailAt } = await twoInstances();
    await sql(database, `UPDATE users SET email = 'new@example.com' WHERE id = ${userId}`);
    await until(async () => (await emailAt(other)) === 'new@example.com');
  });

  it('and evictOwner refuses an invalid owner, and accepts an owner whose id is too long for a notification', async () => {
    const app = await instance();
    await expect(app.keys.evictOwner(' ')).rejects.toThrow('userId');
    await app.keys.evictOwner('x'.repeat(9_000));
  });
});

describe('the health indicator for Terminus', () => {
  const healthOf = (app: TestApp) => app.app.get(ApiKeyHealthIndicator).isHealthy();

  it('is up while the lease is held, with its figures', async () => {
    const app = await instance({ cache: { leaseMs: 60_000 } });
    const { key } = await issue(app);
    for (let i = 0; i < 4; i++) await accepts(app, key);
    expect(await healthOf(app)).toEqual({
      apiKeys: {
        status: 'up',
        leaseHeld: true,
        heartbeatAgeMs: expect.any(Number),
        cacheSize: 1,
        hitRate: 0.75,
        notificationQueueUsage: expect.any(Number),
      },
    });
  });

  it('is up without a lease while the database answers, and down when it does not', async () => {
    const proxy = await wayTo(database);
    const options = { cache: { size: 0, lookUpTimeoutMs: 200 } };
    const app = await bootApp({ database: proxy.url, controllers: [Routes], options });
    running.push(app);
    await until(async () => (await healthOf(app)).apiKeys?.status === 'up');
    expect(app.keys.verificationStatus.leaseHeld).toBe(false);
    proxy.silence('all');
    expect(await healthOf(app)).toMatchObject({ apiKeys: { status: 'down', leaseHeld: false } });
    await proxy.cut();
    await proxy.mend();
  });
});

it('a request whose key and owner are cached passes the guards without a promise', async () => {
  const app = await instance({ cache: { leaseMs: 60_000 }, rateLimit: { limit: 1_000 } });
  const { key } = await issue(app);
  const decided = [ApiKeyGuard, ApiKeyThrottlerGuard].map((guard) =>
    jest.spyOn(guard.prototype, 'canActivate'),
  );
  await until(async () => {
    expect(await status(app, key)).toBe(200);
    return decided.every((spy) => spy.mock.results.at(-1)?.value === true);
  });
  jest.restoreAllMocks();
});
