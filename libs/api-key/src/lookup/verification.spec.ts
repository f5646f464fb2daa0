import { Logger } from '@nestjs/common';
import { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../../../test/support/database';
import { until } from '../../../../test/support/until';
import { Database } from '../database/database';
import { resolveOptions } from '../options/api-key.options';
import type { CacheOptions } from '../options/cache';
import { KeyStore } from './key-store';
import { Verification } from './verification';

/** The key whose request loads a user. */
const KEY_ID = '1';

let database: string;
let dataSource: DataSource;
let userId: string;
let running: Verification[] = [];

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  dataSource = await keysDataSource(database);
});

beforeAll(() => Logger.overrideLogger(false));

afterEach(async () => {
  await Promise.all(running.map((verification) => verification.onApplicationShutdown()));
  running = [];
  await dataSource.destroy();
});

async function start(options: CacheOptions = {}): Promise<Verification> {
  const resolved = resolveOptions({ cache: { lookUpTimeoutMs: 60_000, ...options } });
  const door = new Database(dataSource);
  const store = new KeyStore(door, resolved);
  const verification = new Verification(door, store, resolved);
  running.push(verification);
  await store.check();
  await verification.start();
  return verification;
}

async function warm(options: CacheOptions = {}): Promise<Verification> {
  const verification = await start({ leaseMs: 60_000, heartbeatMs: 50, ...options });
  await until(() => verification.status.leaseHeld);
  return verification;
}

const insert = async (digest: string) =>
  (
    await sql<{ id: string }>(
      database,
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) VALUES ($1, 'ci', $2, 'p') RETURNING id`,
      [userId, digest],
    )
  )[0]?.id as string;
const trusted = async () =>
  (await sql<{ ms: number }>(database, 'SELECT trust_ms::int AS ms FROM api_key_trust'))[0]?.ms;

/** While nobody can read the table. */
async function whileLocked<T>(work: () => Promise<T>): Promise<T> {
  const holder = new Client({ connectionString: database });
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
  try {
    return await work();
  } finally {
    await holder.end();
  }
}

it.each([
  'alone',
  'together',
] as const)('keys are looked up %s, cached while the lease holds, and counted', async (way) => {
  const id = await insert('d');
  const verification = await warm();
  expect(verification.keys.recall('d')).toBeUndefined();
  const found = await Promise.all([verification.keys.find('d', way), verification.keys.find('other', way)]);
  expect(found).toMatchObject([{ apiKey: { id, userId } }, null]);
  expect(verification.keys.recall('d')).toMatchObject({ apiKey: { id }, stopped: null, expired: false });
  expect(verification.keys.recall('other')).toBeNull();
  expect(verification.status).toEqual({
    leaseHeld: true,
    heartbeatAgeMs: expect.any(Number),
    cacheSize: 1,
    hitRate: 0.5,
    notificationQueueUsage: expect.any(Number),
  });
});

it('at most the allowed number of look-ups runs at once, and the next ones start when these are done', async () => {
  await insert('d');
  const verification = await start({ maxLookUps: 2, size: 0 });
  const found = await whileLocked(async () => {
    const under = Promise.all([verification.keys.find('d'), verification.keys.find('e')]);
    await expect(verification.keys.find('f')).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    return { under };
  });
  expect(await found.under).toMatchObject([{ apiKey: { userId } }, null]);
  expect(await Promise.all([verification.keys.find('f'), verification.keys.find('g')])).toEqual([null, null]);
});

it('a cached key is found while all look-ups are in use', async () => {
  await insert('d');
  const verification = await warm({ maxLookUps: 1 });
  await verification.keys.find('d');
  const { under } = await whileLocked(async () => {
    const e = verification.keys.find('e');
    await expect(verification.keys.find('f')).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    expect(verification.keys.recall('d')).toMatchObject({ apiKey: { userId } });
    return { under: e };
  });
  expect(await under).toBeNull();
});

it('batched look-ups do not count as look-ups that run at once', async () => {
  const verification = await start({ maxLookUps: 1, size: 0 });
  expect(
    await Promise.all(['a', 'b', 'c'].map((digest) => verification.keys.find(digest, 'together'))),
  ).toEqual([null, null, null]);
});

it('a key that this instance evicts is looked up again, and its user is loaded again', async () => {
  const id = await insert('d');
  const verification = await warm({ userCacheMs: 60_000 });
  await verification.keys.find('d');
  await verification.owners.find(userId, async () => 'user', KEY_ID);
  await verification.owners.find('other', async () => 'other user', 'another');
  verification.evict(id);
  expect([verification.keys.recall('d'), verification.owners.recall(userId)]).toEqual([undefined, undefined]);
  expect(verification.owners.recall('other')).toBe('other user');
});

it('a user that is being loaded is not cached if its key is evicted, even if the owner of the key is unknown', async () => {
  const verification = await warm({ userCacheMs: 60_000 });
  const user = verification.owners.find(userId, async () => 'user', KEY_ID);
  verification.evict(KEY_ID);
  expect(await user).toBe('user');
  expect(verification.owners.recall(userId)).toBeUndefined();
});

it('an evicted owner is removed at once on this instance, and by the feed on other instances', async () => {
  const [here, there] = [await warm({ userCacheMs: 60_000 }), await warm({ userCacheMs: 60_000 })];
  for (const { owners } of [here, there]) await owners.find(userId, async () => 'user', KEY_ID);
  const evicting = here.evictOwner(userId);
  expect(here.owners.recall(userId)).toBeUndefined();
  await evicting;
  await until(() => there.owners.recall(userId) === undefined);
});

it('a notification that anything may have changed clears keys and users, and an inserted key clears unknown digests', async () => {
  await insert('d');
  const verification = await warm({ userCacheMs: 60_000 });
  await Promise.all([verification.keys.find('d'), verification.keys.find('none')]);
  await verification.owners.find(userId, async () => 'user', KEY_ID);
  await insert('e');
  await until(() => verification.keys.recall('none') === undefined);
  expect(verification.keys.recall('d')).toBeDefined();
  await sql(database, 'TRUNCATE api_keys');
  await until(() => verification.keys.recall('d') === undefined);
  expect(verification.owners.recall(userId)).toBeUndefined();
});

it('without a cache the instance does not listen and caches nothing', async () => {
  await insert('d');
  const verification = await start({ size: 0 });
  await verification.keys.find('d');
  expect(verification.keys.recall('d')).toBeUndefined();
  expect(verification.status).toEqual({
    leaseHeld: false,
    heartbeatAgeMs: null,
    cacheSize: 0,
    hitRate: 0,
    notificationQueueUsage: null,
  });
  expect(
    await sql(
      database,
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%feed'`,
    ),
  ).toEqual([]);
});

it.each<[CacheOptions, number]>([
  [{ leaseMs: 2_000, serveCachedForMs: 0 }, 2_000],
  [{ leaseMs: 2_000, serveCachedForMs: 5_000 }, 5_000],
  [{ leaseMs: 2_000, staleForMs: 9_000 }, 9_000],
])('the instance stores for other instances how long it trusts its cache: %j', async (options, ms) => {
  await start(options);
  await until(async () => (await trusted()) === ms);
});

it.each([
  [9_000, 9_000],
  [0, 2_000],
])('a staleForMs of %i without a feed is stored at boot', async (staleForMs, ms) => {
  await sql(database, 'ALTER TABLE api_keys DISABLE TRIGGER nestjs_api_key_feed_update');
  await insert('d');
  const verification = await start({ staleForMs, leaseMs: 5_000 });
  expect(await trusted()).toBe(ms);
  await verification.keys.find('d');
  expect(verification.keys.recall('d') !== undefined).toBe(staleForMs > 0);
});

it('the instance does not listen any more after it ended', async () => {
  const verification = await warm();
  await verification.onApplicationShutdown();
  expect(verification.status.leaseHeld).toBe(true);
  await until(
    async () =>
      (
        await sql(
          database,
          `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%feed'`,
        )
      ).length === 0,
  );
});

it('keys can be verified while the database answers, or while the lease holds', async () => {
  const [cold, held] = [await start({ size: 0 }), await warm()];
  expect([await cold.canJudge(), await held.canJudge()]).toEqual([true, true]);
  await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
  expect([await cold.canJudge(), await held.canJudge()]).toEqual([false, true]);
});

it('all who ask for the health at the same time share one look-up, and leave the places of others free', async () => {
  const cold = await start({ size: 0, maxLookUps: 2 });
  const [asked, found] = await whileLocked(async () => [
    Array.from({ length: 50 }, () => cold.canJudge()),
    cold.keys.find('unknown', 'alone'),
  ]);
  expect(await found).toBeNull();
  expect(new Set(await Promise.all(asked))).toEqual(new Set([true]));
});

it.each([
  [
    'is missing',
    'DROP TABLE api_keys',
    /table api_keys cannot be used \(relation "public.api_keys" does not exist\).*apiKeyMigrations/,
  ],
  [
    'lacks a column',
    'ALTER TABLE api_keys DROP metadata',
    /table api_keys cannot be used \(column "metadata" does not exist\)/,
  ],
  [
    'has times without time zone',
    'ALTER TABLE api_keys ALTER created_at TYPE timestamp, ALTER revoked_at TYPE timestamp',
    /revoked_at, created_at must be timestamptz.*ALTER TABLE "api_keys" ALTER COLUMN revoked_at TYPE timestamptz, ALTER COLUMN created_at TYPE timestamptz$|created_at, revoked_at must be timestamptz/s,
  ],
  [
    'is in another schema than the first of the search path',
    'CREATE SCHEMA tenant; ALTER ROLE CURRENT_USER IN DATABASE :database SET search_path = tenant, public',
    /is in schema public, but the search path begins with tenant/,
  ],
])('a table that %s stops the boot, and the instance does not listen', async (_, change, message) => {
  await sql(database, change.replace(':database', `"${new URL(database).pathname.slice(1)}"`));
  await dataSource.destroy();
  dataSource = await keysDataSource(database);
  await expect(start()).rejects.toThrow(message);
  expect(running[0]?.status).toMatchObject({ leaseHeld: false, heartbeatAgeMs: null });
});
