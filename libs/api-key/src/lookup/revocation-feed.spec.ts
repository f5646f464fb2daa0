import { EventEmitter } from 'node:events';
import { Logger } from '@nestjs/common';
import { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../../../test/support/database';
import { flakyProxy } from '../../../../test/support/flaky-proxy';
import { lossyPooler } from '../../../../test/support/lossy-pooler';
import { until } from '../../../../test/support/until';
import { Database } from '../database/database';
import { FEED_TRIGGER_NAMES, feedTriggerSql } from '../database/feed-triggers';
import { SYSTEM_CLOCK } from './clock';
import { Lease } from './lease';
import { announceOwner } from './owner-announcement';
import { RevocationFeed } from './revocation-feed';

const LEASE_MS = 400;
const HEARTBEAT_MS = 20;
/** No step of a machine's clock ends a session here. */
const DRIFT_MS = 60_000;

let database: string;
let dataSource: DataSource;
let lease: Lease;
let heard: string[];
let said: string[];
const feeds: RevocationFeed[] = [];

beforeEach(async () => {
  database = await createMigratedDatabase();
  dataSource = await keysDataSource(database);
  lease = new Lease(LEASE_MS, SYSTEM_CLOCK, DRIFT_MS);
  [heard, said] = [[], []];
  const say = (line: string) => void said.push(line);
  jest.spyOn(Logger.prototype, 'warn').mockImplementation(say);
  jest.spyOn(Logger.prototype, 'log').mockImplementation(say);
});

afterEach(async () => {
  await Promise.all(feeds.splice(0).map((feed) => feed.onApplicationShutdown()));
  if (dataSource.isInitialized) await dataSource.destroy();
  jest.restoreAllMocks();
});

/** Begins to listen. */
function listen(checkMs?: number, over = lease): RevocationFeed {
  const listener = {
    evict: (id: string) => void heard.push(`key ${id}`),
    evictUnknown: () => void heard.push('a new key'),
    evictOwner: (id: string) => void heard.push(`owner ${id}`),
    clear: () => void heard.push('anything'),
  };
  const options = { heartbeatMs: HEARTBEAT_MS, leaseMs: LEASE_MS, trustMs: 12_345, checkMs };
  const feed = new RevocationFeed(new Database(dataSource), over, listener, options, SYSTEM_CLOCK);
  feed.onApplicationBootstrap();
  feeds.push(feed);
  return feed;
}

const isHeld = () => lease.isHeld();
/** Waits for a heartbeat that is sent from now on. */
const beatsAgain = () => {
  const now = performance.now();
  return until(() => Number(lease.heartbeatAgeMs() ?? Number.POSITIVE_INFINITY) < performance.now() - now);
};
const hears = (what: string) => until(() => heard.includes(what));
const FEEDS = `pg_stat_activity WHERE application_name = 'nestjs-api-key feed' AND datname = current_database()`;
const connections = async () => (await sql(database, `SELECT FROM ${FEEDS}`)).length;
const endConnections = () => sql(database, `SELECT pg_terminate_backend(pid) FROM ${FEEDS}`);

/** A function of this name stands in the place of that of PostgreSQL, in statements of the feed. */
async function replaceFunction(signature: string, returns: string): Promise<void> {
  await sql(database, `CREATE OR REPLACE FUNCTION public.${signature} RETURNS ${returns}`);
  const name = signature.replace(/\(.*/, '');
  const { query } = Client.prototype;
  if (jest.isMockFunction(query)) return;
  const sent = (config: { text?: string }) =>
    config.text === undefined
      ? config
      : {
          ...config,
          text: config.text.replace(new RegExp(`(?:pg_catalog\\.)?${name}\\(`), `public.${name}(`),
        };
  jest.spyOn(Client.prototype, 'query').mockImplementation(function (this: Client, ...given: unknown[]) {
    const [config, ...rest] = given as [{ text?: string }];
    return Reflect.apply(query as never, this, [sent(config), ...rest]);
  } as never);
}

const restoreNotify = () =>
  replaceFunction('pg_notify(text, text)', `void LANGUAGE sql AS 'SELECT pg_catalog.pg_notify($1, $2)'`);

/** As if those of the feed, which are numbers, did not come back. */
const loseHeartbeats = () =>
  replaceFunction(
    'pg_notify(text, text)',
    `void LANGUAGE sql AS $$ SELECT CASE WHEN $2 ~ '^[0-9]+$' THEN NULL ELSE pg_catalog.pg_notify($1, $2) END $$`,
  );

it('a session begins with an empty cache, and its heartbeats keep the lease longer than one heartbeat does', async () => {
  listen();
  await until(isHeld);
  const { session } = lease;
  expect(heard).toEqual(['anything']);
  const first = performance.now();
  await until(() => performance.now() - first > 2 * LEASE_MS);
  await until(isHeld);
  expect([lease.session, said]).toEqual([session, []]);
  expect(await sql(database, 'SELECT trust_ms::int AS ms FROM api_key_trust')).toEqual([{ ms: 12_345 }]);
});

it('the feed reports a changed or deleted key, an inserted key, a truncated table and a changed owner', async () => {
  const userId = await createUser(database);
  listen();
  await until(isHeld);
  const [row] = await sql<{ id: string }>(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) VALUES (${userId}, 'ci', 'd', 'p') RETURNING id`,
  );
  await hears('a new key');
  await sql(database, `UPDATE api_keys SET revoked_at = now()`);
  await hears(`key ${row?.id}`);
  heard = [];
  await sql(database, 'UPDATE api_keys SET last_used_at = now()');
  await sql(database, 'DELETE FROM api_keys');
  await hears(`key ${row?.id}`);
  await sql(database, 'TRUNCATE api_keys');
  await hears('anything');
  await announceOwner(new Database(dataSource), 'u:7');
  await hears('owner u:7');
  expect(heard).toEqual([`key ${row?.id}`, 'anything', 'owner u:7']);
});

it.each([
  ['fits', 7_000, /^owner x{7000}$/],
  ['does not fit', 7_001, /^anything$/],
])('the feed reports as much as possible of an owner whose id %s into a notification', async (_, length, told) => {
  listen();
  await until(isHeld);
  heard = [];
  await announceOwner(new Database(dataSource), 'x'.repeat(length));
  await until(() => heard.length > 0);
  expect(heard).toEqual([expect.stringMatching(told)]);
});

it('a lost connection is logged once and opened again, with an empty cache', async () => {
  listen();
  await until(isHeld);
  const { session } = lease;
  await endConnections();
  await until(() => isHeld() && lease.session !== null && lease.session !== session);
  expect(heard).toEqual(['anything', 'anything']);
  await until(() => said.length === 2);
  expect(said).toEqual([
    expect.stringMatching(/^The revocation feed does not work, so keys are looked up at each request: ./),
    'The revocation feed works again: keys are cached again.',
  ]);
});

it('the feed does not listen if the triggers are disabled, and logs it', async () => {
  await sql(database, 'ALTER TABLE api_keys DISABLE TRIGGER nestjs_api_key_feed_update');
  listen();
  await until(() => said.length > 0);
  expect(said[0]).toMatch(
    /triggers nestjs_api_key_feed_update are missing or not enabled as needed: run as the owner of the table: ALTER TABLE "public"."api_keys" ENABLE ALWAYS TRIGGER nestjs_api_key_feed_update$/,
  );
  expect([isHeld(), lease.session]).toEqual([false, null]);
  await until(async () => (await connections()) === 0);
});

it('the feed soon clears the cache if the triggers are disabled while it listens, and listens again when they are enabled', async () => {
  listen(2 * HEARTBEAT_MS);
  await until(isHeld);
  heard = [];
  await sql(database, 'ALTER TABLE api_keys ENABLE REPLICA TRIGGER nestjs_api_key_feed_delete');
  await until(() => said.length > 0);
  expect(said).toEqual([
    expect.stringMatching(/triggers nestjs_api_key_feed_delete are missing or not enabled as needed/),
  ]);
  expect([lease.session, heard]).toEqual([null, ['anything']]);
  await sql(database, 'ALTER TABLE api_keys ENABLE ALWAYS TRIGGER nestjs_api_key_feed_delete');
  await until(() => lease.session !== null && isHeld() && said.length > 1);
  expect(said.slice(1)).toEqual(['The revocation feed works again: keys are cached again.']);
});

it.each([
  ['emptied', 'TRUNCATE api_key_trust'],
  ['emptied, and another instance has trusted for less', 'UPDATE api_key_trust SET trust_ms = 2000'],
])('soon forgets all and raises the trust again if its table was %s', async (_, change) => {
  listen();
  await until(isHeld);
  const { session } = lease;
  heard = [];
  await sql(database, change);
  await until(() => lease.session !== null && lease.session !== session && isHeld());
  expect(heard).toContain('anything');
  expect(await sql(database, 'SELECT trust_ms::int AS ms FROM api_key_trust')).toEqual([{ ms: 12_345 }]);
});

it('the feed does not listen on a connection to a replica', async () => {
  await replaceFunction('pg_is_in_recovery()', `boolean LANGUAGE sql AS 'SELECT true'`);
  listen();
  await until(() => said.length > 0);
  expect(said[0]).toMatch(/is to a replica/);
  expect([lease.session, heard]).toEqual([null, []]);
});

it('the feed trusts nothing if its heartbeats do not return, and continues when they return again', async () => {
  await loseHeartbeats();
  listen();
  await until(() => said.length > 0);
  expect(said).toEqual([expect.stringMatching(/heartbeats no longer return/)]);
  expect(isHeld()).toBe(false);
  await restoreNotify();
  await until(isHeld);
});

it('the feed trusts nothing if its heartbeats do not return, even if cache entries are served for much longer than a lease', async () => {
  await loseHeartbeats();
  listen(undefined, new Lease(86_400_000, SYSTEM_CLOCK));
  await until(() => said.length > 0);
  expect(said).toEqual([expect.stringMatching(/heartbeats no longer return/)]);
});

it('a session after a lost session keeps its lease, whatever the lost session still does', async () => {
  listen();
  await until(() => isHeld() && Number(lease.heartbeatAgeMs()) < HEARTBEAT_MS);
  const beats = performance.now();
  await until(() => performance.now() - beats > 10 * HEARTBEAT_MS);
  const { session } = lease;
  await endConnections();
  await until(() => isHeld() && lease.session !== null && lease.session !== session);
  const next = lease.session;
  const back = performance.now();
  await until(() => performance.now() - back > LEASE_MS + 10 * HEARTBEAT_MS);
  expect([lease.session, heard]).toEqual([next, ['anything', 'anything']]);
});

it('the feed does not listen through a pooler that loses notifications while idle, and logs what to do', async () => {
  const pooler = await lossyPooler(database);
  await dataSource.destroy();
  dataSource = await keysDataSource(pooler.url);
  listen();
  await until(() => said.length > 0);
  expect(said[0]).toMatch(
    /notifications of other connections do not arrive, .* give the library a data source that bypasses the pooler/,
  );
  expect([isHeld(), lease.session, heard]).toEqual([false, null, []]);
  await dataSource.destroy();
  await pooler.close();
});

it('the feed ends at once with the application, and closes its connection', async () => {
  const feed = listen();
  await until(isHeld);
  await feed.onApplicationShutdown();
  expect(lease.session).toBeNull();
  await until(async () => (await connections()) === 0);
  expect(said).toEqual([]);
});

it('the feed ends with the application, also while the database is unreachable', async () => {
  const proxy = await flakyProxy(database);
  await dataSource.destroy();
  dataSource = await keysDataSource(proxy.url);
  await proxy.cut();
  const feed = listen();
  await until(() => said.length > 0);
  expect(said[0]).toMatch(/^The revocation feed does not work, so keys are looked up at each request: ./);
  await feed.onApplicationShutdown();
  expect(said).toHaveLength(1);
});

/** What a session does that cannot notify. */
const silently = (statement: string) =>
  sql(database, `BEGIN; SET LOCAL nestjs_api_key.silent = 'on'; ${statement}; COMMIT`);

describe('a change that is not notified', () => {
  it.each([
    ['of a key', `UPDATE api_keys SET revoked_at = now()`],
    ['of an owner', `UPDATE users SET email = 'changed@example.com'`],
  ])('%s clears the whole cache once, in the same session', async (_, statement) => {
    const userId = await createUser(database);
    await sql(
      database,
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) VALUES (${userId}, 'ci', 'd', 'p')`,
    );
    listen();
    await until(isHeld);
    const { session } = lease;
    await silently(statement);
    await until(() => heard.length > 1);
    await beatsAgain();
    await beatsAgain();
    expect([heard, lease.session, said]).toEqual([['anything', 'anything'], session, []]);
  });

  it('is noticed when it is committed, and not before', async () => {
    await createUser(database);
    listen();
    await until(isHeld);
    const changing = new Client({ connectionString: database });
    await changing.connect();
    await changing.query(
      `BEGIN; SET LOCAL nestjs_api_key.silent = 'on'; UPDATE users SET email = 'changed@example.com'`,
    );
    await beatsAgain();
    await beatsAgain();
    expect(heard).toEqual(['anything']);
    await changing.query('COMMIT');
    await until(() => heard.length > 1);
    await changing.end();
  });

  it('leaves one row, and any instance replaces many such rows by one', async () => {
    await createUser(database);
    for (let i = 0; i < 70; i++) await silently(`UPDATE users SET email = 'changed-${i}@example.com'`);
    expect(await sql(database, 'SELECT FROM api_key_silent_changes')).toHaveLength(70);
    const leases = [lease, new Lease(LEASE_MS, SYSTEM_CLOCK, DRIFT_MS)];
    for (const over of leases) listen(undefined, over);
    await until(async () => (await sql(database, 'SELECT FROM api_key_silent_changes')).length === 1);
    await until(() => leases.every((over) => over.isHeld()));
    // One for each that begins, and one for each that began before the rows were replaced.
    await until(() => heard.length >= 3);
    await beatsAgain();
    await beatsAgain();
    const told = heard.length;
    await beatsAgain();
    await beatsAgain();
    expect([heard.length, said]).toEqual([told, []]);
  });
});

/** Expects that a change empties the cache once, and that the session goes on. */
async function clearsOnce(change: string): Promise<void> {
  listen();
  await until(isHeld);
  const { session } = lease;
  heard = [];
  await sql(database, change);
  await hears('anything');
  await beatsAgain();
  await beatsAgain();
  expect([heard, lease.session, said]).toEqual([['anything'], session, []]);
}

describe('a change of the table that fires no trigger', () => {
  const ALL = FEED_TRIGGER_NAMES.map((name) => feedTriggerSql(name, 'api_keys', 'nestjs_api_key_feed'));
  const UNHEARD = 'ALTER TABLE api_keys DISABLE TRIGGER USER';
  const HEARD = ALL.map(({ enable }) => enable).join('; ');
  const PARTITIONED = `ALTER TABLE api_keys RENAME TO former;
    CREATE TABLE api_keys (LIKE former INCLUDING DEFAULTS) PARTITION BY RANGE (id);
    CREATE TABLE first PARTITION OF api_keys FOR VALUES FROM (1) TO (100);
    CREATE TABLE second (LIKE api_keys INCLUDING DEFAULTS);
    ${ALL.map(({ create, enable }) => `${create}; ${enable}`).join('; ')}`;

  it.each([
    ['deletes keys while the triggers are disabled', `${UNHEARD}; DELETE FROM api_keys; ${HEARD}`],
    ['writes other values', 'ALTER TABLE api_keys ALTER expires_at TYPE timestamptz USING now()'],
    [
      'gives a column the name of another',
      'ALTER TABLE api_keys ADD other text[]; ALTER TABLE api_keys RENAME scopes TO former; ALTER TABLE api_keys RENAME other TO scopes',
    ],
    [
      'gives all keys another value by a default',
      'ALTER TABLE api_keys DROP revoked_at; ALTER TABLE api_keys ADD revoked_at timestamptz DEFAULT now()',
    ],
  ])('clears the whole cache once, in the same session, if it %s', async (_, change) => {
    await clearsOnce(change);
  });

  it.each([
    ['detaches', 'ALTER TABLE api_keys DETACH PARTITION first'],
    ['drops', 'DROP TABLE first'],
    ['truncates', 'TRUNCATE first'],
    ['attaches', 'ALTER TABLE api_keys ATTACH PARTITION second FOR VALUES FROM (100) TO (200)'],
  ])('clears the whole cache once, in the same session, if it %s a partition', async (_, change) => {
    await sql(database, PARTITIONED);
    await clearsOnce(change);
  });

  it('ends the session with the next heartbeat if rows get into a table whose changes are not notified', async () => {
    listen();
    await until(isHeld);
    await sql(database, 'CREATE TABLE archive () INHERITS (api_keys)');
    await until(() => said.length > 0);
    expect(said[0]).toMatch(/are in public.archive, whose changes are not notified/);
    expect([lease.session, heard]).toEqual([null, ['anything', 'anything']]);
  });

  it.each([
    'VACUUM (FREEZE, ANALYZE) api_keys',
    'CREATE INDEX ON api_keys (created_at)',
    'REINDEX TABLE api_keys',
    'UPDATE api_keys SET last_used_at = now()',
  ])('does not clear the cache if it is only: %s', async (change) => {
    listen();
    await until(isHeld);
    await sql(database, change);
    await beatsAgain();
    await beatsAgain();
    expect([heard, said]).toEqual([['anything'], []]);
  });
});

it('the feed trusts nothing if the queue is full at its start, logs it once, and starts again by itself', async () => {
  listen();
  await until(isHeld);
  const { session } = lease;
  await replaceFunction(
    'pg_notify(text, text)',
    `void LANGUAGE plpgsql AS $$ BEGIN RAISE 'too many notifications in the NOTIFY queue' USING ERRCODE = '54000'; END $$`,
  );
  await endConnections();
  await until(() => said.some((line) => line.includes('is full')));
  const full = performance.now();
  await until(() => performance.now() - full > 2 * LEASE_MS);
  expect(isHeld()).toBe(false);
  expect(said.slice(1)).toEqual([
    expect.stringMatching(/: the notification queue of PostgreSQL is full: end the session/),
  ]);
  await restoreNotify();
  await until(() => isHeld() && lease.session !== session);
  expect(said.slice(2)).toEqual(['The revocation feed works again: keys are cached again.']);
});

it('a connection is ended only after it was established, because pg-native ends the process otherwise', async () => {
  let connect = () => {};
  const connected = new Promise<void>((resolve) => {
    connect = resolve;
  });
  const end = jest.fn(async () => {});
  const client = Object.assign(new EventEmitter(), { connect: () => connected, end });
  jest.spyOn(Database.prototype, 'sideClient').mockReturnValue(client as unknown as Client);
  await listen().onApplicationShutdown();
  expect(end).not.toHaveBeenCalled();
  connect();
  await until(() => end.mock.calls.length > 0);
});
