import { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../../../test/support/database';
import { Database } from '../database/database';
import { replica } from '../database/replica';
import { KeyStore } from './key-store';
import type { StoredKey } from './stored-key';

const HOUR_MS = 3_600_000;
const PATIENT = { cache: { lookUpTimeoutMs: 60_000 } };

let database: string;
let dataSource: DataSource;
let store: KeyStore;

beforeAll(async () => {
  database = await createMigratedDatabase();
  dataSource = await keysDataSource(database);
  store = new KeyStore(new Database(dataSource), PATIENT);
  const userId = await createUser(database);
  await sql(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, expires_at, revoked_at, disabled_at)
     SELECT ${userId}, 'ci', digest, 'p', expires_at, revoked_at, disabled_at FROM (VALUES
       ('forever', NULL, NULL, NULL), ('infinite', 'infinity', NULL, NULL), ('never', '-infinity', NULL, NULL),
       ('hour', clock_timestamp() + interval '1 hour', NULL, NULL), ('past', clock_timestamp() - interval '1 hour', NULL, NULL),
       ('revoked', NULL, clock_timestamp(), clock_timestamp()), ('disabled', NULL, NULL, clock_timestamp()))
     AS given (digest, expires_at, revoked_at, disabled_at)`,
  );
});
afterAll(() => dataSource.destroy());

it.each([
  ['no expiry', 'forever', null],
  ['an infinite expiry', 'infinite', null],
  ['an expiry before all times', 'never', 0],
])('the database reports the remaining life of a key with %s', async (_, digest, lifeMs) => {
  expect(await store.find(digest)).toMatchObject({ stopped: null, lifeMs });
});

it.each([
  ['an hour to come', 'hour', HOUR_MS],
  ['an hour ago', 'past', -HOUR_MS],
])('the remaining life of a key whose expiry is %s is in milliseconds', async (_, digest, lifeMs) => {
  const found = await store.find(digest);
  expect(Math.round(Number(found?.lifeMs) / HOUR_MS)).toBe(lifeMs / HOUR_MS);
});

it.each([
  ['used an hour ago', "now() - interval '1 hour'", "now() - interval '3 days'", 47],
  ['never used', 'NULL', "now() - interval '1 day'", 24],
  ['never used for too long', 'NULL', "now() - interval '3 days'", -24],
  ['used before its creation', "now() - interval '3 days'", "now() - interval '1 day'", 24],
  ['created at no known time', 'NULL', 'NULL', -1e15 / HOUR_MS],
  ['created before all times', 'NULL', "'-infinity'", -1e15 / HOUR_MS],
  ['used after all times', "'infinity'", 'now()', 1e15 / HOUR_MS],
])('the database reports when a key that was %s ends unused', async (_, used, created, hours) => {
  const policy = { endUnusedAfterDays: 2 };
  await sql(database, 'ALTER TABLE api_keys ALTER created_at DROP NOT NULL');
  await sql(
    database,
    `UPDATE api_keys SET last_used_at = ${used}, created_at = ${created} WHERE key_digest = 'hour'`,
  );
  const found = await new KeyStore(new Database(dataSource), { ...PATIENT, policy }).find('hour');
  await sql(
    database,
    `UPDATE api_keys SET last_used_at = NULL, created_at = now() WHERE key_digest = 'hour'`,
  );
  expect(Math.round(Number(found?.unusedMs) / HOUR_MS)).toBe(Math.round(hours));
});

it('a key does not end unused without the rule', async () => {
  expect(await store.find('hour')).toMatchObject({ unusedMs: null });
});

it('the remaining life of a key is a number, also if the application has its own type parsers', async () => {
  const own = await keysDataSource(database, { extra: { types: { getTypeParser: () => String } } });
  const found = await new KeyStore(new Database(own), PATIENT).findAll(
    ['hour', 'never', 'forever'],
    () => {},
  );
  await own.destroy();
  const lives = ['hour', 'never', 'forever'].map((digest) => (found.get(digest) as StoredKey).lifeMs);
  expect(Math.round(Number(lives[0]) / HOUR_MS)).toBe(1);
  expect(lives.map((life) => typeof life)).toEqual(['number', 'number', 'object']);
});

it('a revoked or disabled key is reported as such, and a missing key as missing', async () => {
  expect(await store.find('disabled')).toMatchObject({ stopped: 'disabled' });
  expect(await store.find('revoked')).toMatchObject({ stopped: 'revoked' });
  expect(await store.find('nothing')).toBeNull();
});

it('many keys are found by their digests in one statement, without the missing ones', async () => {
  const sent = jest.fn();
  const found = await store.findAll(['forever', 'nothing', 'revoked'], sent);
  expect([...found.keys()].sort()).toEqual(['forever', 'revoked']);
  expect(found.get('forever')).toMatchObject({ stopped: null });
  expect(found.get('revoked')).toMatchObject({ stopped: 'revoked' });
  expect(sent).toHaveBeenCalledTimes(1);
});

it('a look-up that timed out fails, and the others that waited for the same connection find their own keys', async () => {
  const busy = await keysDataSource(database, { poolSize: 1 });
  const runner = busy.createQueryRunner();
  await runner.connect();
  await expect(
    new KeyStore(new Database(busy), { cache: { lookUpTimeoutMs: 20 } }).find('forever'),
  ).rejects.toThrow('PostgreSQL did not answer within 20 ms');
  const patient = new KeyStore(new Database(busy), PATIENT);
  const query = jest.spyOn(Client.prototype, 'query');
  const finding = Promise.all([
    patient.find('forever'),
    patient.find('nothing'),
    patient.find('revoked'),
    patient.find('another', ['hour', 'past']),
  ]);
  await runner.release();
  const found = await finding;
  const texts = query.mock.calls.map(([config]) => String((config as unknown as { text?: string }).text));
  query.mockRestore();
  await busy.destroy();
  expect(texts.filter((text) => text.includes('key_digest OPERATOR(pg_catalog.=) ANY'))).toHaveLength(1);
  expect(found.map((stored) => stored?.digest)).toEqual(['forever', undefined, 'revoked', 'hour']);
});

it('one or a hundred keys are found by the index, with a generic plan and with a custom plan', async () => {
  const store = new KeyStore(new Database(dataSource), PATIENT);
  const query = jest.spyOn(Client.prototype, 'query');
  const digests = Array.from({ length: 100 }, (_, i) => `digest ${i}`);
  for (const wanted of [['forever'], digests]) await store.findAll(wanted, () => {});
  const texts = query.mock.calls.map(([config]) => (config as unknown as { text: string }).text);
  query.mockRestore();
  await sql(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix)
     SELECT user_id, 'ci', 'many ' || n, 'p' FROM (SELECT user_id FROM api_keys LIMIT 1) AS u, generate_series(1, 20000) AS n`,
  );
  await sql(database, 'ANALYZE api_keys');
  for (const [i, value] of [`'forever'`, `ARRAY[${digests.map((digest) => `'${digest}'`)}]`].entries())
    for (const mode of ['force_generic_plan', 'force_custom_plan']) {
      const lines = await sql<{ 'QUERY PLAN': string }>(
        database,
        `SET plan_cache_mode = ${mode}; PREPARE found AS ${texts[i]}; EXPLAIN EXECUTE found (${value})`,
      );
      expect(JSON.stringify(lines)).toMatch(/Index Scan (using|on) index_api_keys_on_key_digest/);
    }
});

it('a correct table passes the check, also in a schema that the data source names', async () => {
  await store.check();
  await sql(
    database,
    'CREATE SCHEMA tenant; CREATE TABLE tenant.api_keys (LIKE api_keys INCLUDING ALL); CREATE TABLE tenant.api_key_silent_changes (LIKE api_key_silent_changes)',
  );
  const tenant = await keysDataSource(database, { schema: 'tenant' });
  await new KeyStore(new Database(tenant), PATIENT).check();
  await sql(
    database,
    'ALTER TABLE tenant.api_keys ALTER last_used_at TYPE timestamp, ALTER updated_at TYPE timestamp',
  );
  await expect(new KeyStore(new Database(tenant), PATIENT).check()).rejects.toThrow(
    `last_used_at, updated_at must be timestamptz, or a key would expire hours early or late in a session of another time zone. Run the migrations of apiKeyMigrations(); if they have already run: SET TimeZone = 'UTC'; ALTER TABLE "tenant"."api_keys" ALTER COLUMN last_used_at TYPE timestamptz, ALTER COLUMN updated_at TYPE timestamptz`,
  );
  await tenant.destroy();
});

it.each([
  'last_used_at',
  'expires_at',
  'revoked_at',
  'created_at',
  'updated_at',
  'disabled_at',
  'enabled_expires_at',
])('%s without a time zone does not pass the check', async (column) => {
  await sql(database, `ALTER TABLE api_keys ALTER ${column} TYPE timestamp`);
  await expect(store.check()).rejects.toThrow(`cannot be used: ${column} must be timestamptz`);
  await sql(database, `ALTER TABLE api_keys ALTER ${column} TYPE timestamptz`);
});

it('the error of an unusable table has the reason as its cause', async () => {
  await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
  const refused = await store.check().catch((error: unknown) => error);
  await sql(database, 'ALTER TABLE elsewhere RENAME TO api_keys');
  expect(refused).toMatchObject({ cause: { code: '42P01' } });
});

/** Has a look-up send another text than it would. */
async function finding(digest: string, change: (text: string) => string): Promise<unknown> {
  const { query } = Client.prototype;
  const spy = jest.spyOn(Client.prototype, 'query').mockImplementation(function (
    this: Client,
    ...given: unknown[]
  ) {
    const [config, ...rest] = given as [{ name: string; text: string }];
    return Reflect.apply(query as never, this, [
      { ...config, name: undefined, text: change(config.text) },
      ...rest,
    ]);
  } as never);
  try {
    return await store.find(digest);
  } finally {
    spy.mockRestore();
  }
}

it('a look-up that a replica answers fails, because the key may already be revoked', async () => {
  const asked = finding('forever', (text) => text.replace('pg_catalog.pg_is_in_recovery()', 'true'));
  await expect(asked).rejects.toMatchObject({ code: 'EREPLICA' });
});

it('a look-up with an unreadable result fails, and the next one succeeds', async () => {
  const asked = finding('hour', (text) =>
    text.replace(/CASE WHEN expires_at OPERATOR\(pg_catalog\.=\).*END AS life_ms/s, "'soon' AS life_ms"),
  );
  await expect(asked).rejects.toMatchObject({ code: 'UNREADABLE_VALUE' });
  expect(await store.find('forever')).toMatchObject({ digest: 'forever' });
});

it('an unreadable row fails the look-up of its own key, and no other look-up of the statement', async () => {
  await sql(
    database,
    `ALTER TABLE api_keys ALTER rate_limit TYPE numeric; UPDATE api_keys SET rate_limit = 'NaN' WHERE key_digest = 'past'`,
  );
  const [unreadable, other, none] = await Promise.allSettled([
    store.find('past'),
    store.find('forever'),
    store.find('nothing'),
  ]);
  expect(unreadable).toMatchObject({ reason: { code: 'UNREADABLE_VALUE' } });
  expect(other).toMatchObject({ value: { digest: 'forever' } });
  expect(none).toMatchObject({ value: null });
});

it('a key is unknown if it was deleted before the look-up was sent again in UTF-8', async () => {
  await sql(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) SELECT user_id, 'ci', 'brief', 'p' FROM api_keys LIMIT 1`,
  );
  const own = await keysDataSource(database, { poolSize: 1 });
  await own.query(`SET client_encoding TO 'LATIN1'`);
  const { query } = Client.prototype;
  const sends = jest.spyOn(Client.prototype, 'query').mockImplementation(function (
    this: Client,
    ...args: unknown[]
  ) {
    const send = () => Reflect.apply(query, this, args);
    if (!String(args[0]).startsWith('BEGIN; SET LOCAL client_encoding')) return send();
    void sql(database, `DELETE FROM api_keys WHERE key_digest = 'brief'`).then(send);
  });
  expect(await new KeyStore(new Database(own), PATIENT).find('brief')).toBeNull();
  expect(sends.mock.calls.filter(([text]) => String(text).startsWith('BEGIN; SET LOCAL'))).toHaveLength(1);
  sends.mockRestore();
  await own.destroy();
});

it('the check of a data source that leads to a replica says what to do', async () => {
  const onReplica = new Database(dataSource);
  jest.spyOn(onReplica, 'locate').mockRejectedValue(replica());
  await expect(new KeyStore(onReplica, PATIENT).check()).rejects.toThrow(
    /^ApiKeyModule: the connection is to a replica, .* Give the library a data source that connects to the primary\.$/,
  );
});

it('the check of a role that may not read the table says so, and not that migrations are missing', async () => {
  const database = new Database(dataSource);
  const refused = Object.assign(new Error('permission denied for table api_keys'), { code: '42501' });
  jest.spyOn(database, 'locate').mockRejectedValue(refused);
  await expect(new KeyStore(database, PATIENT).check()).rejects.toThrow(
    /^ApiKeyModule: table api_keys cannot be used \(permission denied for table api_keys\)\.$/,
  );
});
