import { join } from 'node:path';
import { ApiKeyAuthenticator, type ApiKeyOptions } from 'nestjs-api-key';
import { openDatabase } from '../../src/database/open-database';
import { type EmbeddedPostgres, useEmbeddedPostgres } from '../../src/embedded-postgres';
import { bootApp, type TestApp } from '../support/app';
import { createUser, sql } from '../support/database';
import { removeFolder, temporaryFolder } from '../support/folder';
import { alterDatabase, untilCached } from '../support/ground';
import { layered } from '../support/layered';
import { until } from '../support/until';

/** Nothing ends in these tests because a lease ends or a user is loaded again. */
const LASTING: ApiKeyOptions = { cache: { leaseMs: 60_000, heartbeatMs: 50, userCacheMs: 60_000 } };
const SETTINGS = ['fsync=off', 'synchronous_commit=off', 'wal_level=logical'];

const folder = temporaryFolder();
let server: EmbeddedPostgres;
let publisher: string;
let subscriber: string;
let userId: string;
/** An instance on a database of its own, which makes keys that no other database has yet. */
let maker: TestApp;
let makerUrl: string;
let makerId: string;
let count = 0;
const subscriptions: { readonly url: string; readonly name: string }[] = [];
const running: TestApp[] = [];

beforeAll(async () => {
  server = await useEmbeddedPostgres({ dataDir: join(folder, 'data'), settings: SETTINGS });
  makerUrl = await newDatabase('maker');
  makerId = await createUser(makerUrl);
  maker = await bootApp({ database: makerUrl });
});

afterAll(async () => {
  await Promise.allSettled([maker?.close()]);
  await server.stop();
  removeFolder(folder);
});

beforeEach(async () => {
  count += 1;
  publisher = await newDatabase(`publisher_${count}`);
  subscriber = await newDatabase(`subscriber_${count}`);
  userId = await createUser(publisher);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
  for (const { url, name } of subscriptions.splice(0))
    await sql(url, `ALTER SUBSCRIPTION ${name} DISABLE`).then(() => sql(url, `DROP SUBSCRIPTION ${name}`));
});

async function newDatabase(name: string): Promise<string> {
  await sql(server.url, `CREATE DATABASE ${name}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  await (await openDatabase(url.href)).destroy();
  return url.href;
}

/** Publishes tables, and creates their subscription in the other database. */
async function subscribe(tables: string, options = ''): Promise<string> {
  const name = `keys_${count}`;
  const { hostname, port, username, password, pathname } = new URL(publisher);
  await sql(publisher, `CREATE PUBLICATION ${name} FOR TABLE ${tables}`);
  // In one cluster, CREATE SUBSCRIPTION would wait for itself if it created the slot.
  await sql(publisher, `SELECT pg_create_logical_replication_slot('${name}', 'pgoutput')`);
  await sql(
    subscriber,
    `CREATE SUBSCRIPTION ${name} CONNECTION 'host=${hostname} port=${port} user=${username} password=${password} dbname=${pathname.slice(1)}'
     PUBLICATION ${name} WITH (create_slot = false, slot_name = '${name}' ${options})`,
  );
  subscriptions.push({ url: subscriber, name });
  return name;
}

async function instance(database: string, options: ApiKeyOptions = {}): Promise<TestApp> {
  const app = await bootApp({ database, options: layered(LASTING, options) });
  running.push(app);
  await untilCached(app);
  return app;
}

const accepts = async (app: TestApp, key: string) => (await app.keys.verify(key)).ok;

/** A key that an instance has looked up before it was inserted, and cached as unknown. */
async function keyTriedTooEarly(here: TestApp) {
  const { key, apiKey } = await maker.keys.create({ userId: makerId, name: 'ci' });
  const [stored] = await sql<{ row: string }>(
    makerUrl,
    'SELECT to_jsonb(api_keys)::text AS row FROM api_keys WHERE id = $1',
    [apiKey.id],
  );
  expect([await accepts(here, key), await accepts(here, key)]).toEqual([false, false]);
  const insert = () =>
    sql(
      publisher,
      `INSERT INTO api_keys SELECT * FROM jsonb_populate_record(NULL::api_keys,
         $1::jsonb || jsonb_build_object('id', nextval('api_keys_id_seq'), 'user_id', $2::bigint))`,
      [stored?.row, userId],
    );
  return { key, insert };
}

/** A key of the publisher that the subscriber has cached. */
async function keyOfBoth(there: TestApp, here: TestApp) {
  const issued = await there.keys.create({ userId, name: 'ci' });
  await until(() => accepts(here, issued.key));
  return issued;
}

it('A key that arrives by logical replication is accepted, also if it was tried before', async () => {
  await subscribe('users, api_keys');
  const [there, here] = [await instance(publisher), await instance(subscriber)];
  await keyOfBoth(there, here);
  const { key, insert } = await keyTriedTooEarly(here);
  await insert();
  await until(() => accepts(here, key));
});

it('A key that arrives by the first copy of a subscription is accepted, also if it was tried before', async () => {
  const here = await instance(subscriber);
  const { key, insert } = await keyTriedTooEarly(here);
  await insert();
  await subscribe('users, api_keys');
  await until(() => accepts(here, key));
});

it('A key that arrives by REFRESH PUBLICATION is accepted, also if it was tried before', async () => {
  const name = await subscribe('users');
  const here = await instance(subscriber);
  const { key, insert } = await keyTriedTooEarly(here);
  await insert();
  await sql(publisher, `ALTER PUBLICATION ${name} ADD TABLE api_keys`);
  expect(await accepts(here, key)).toBe(false);
  await sql(subscriber, `ALTER SUBSCRIPTION ${name} REFRESH PUBLICATION`);
  await until(() => accepts(here, key));
});

it('A key that arrives while the notification queue is full is accepted, also if it was tried before', async () => {
  await alterDatabase(subscriber, { 'nestjs_api_key.silent': 'on' });
  await subscribe('users, api_keys');
  const [there, here] = [await instance(publisher), await instance(subscriber)];
  await keyOfBoth(there, here);
  const { key, insert } = await keyTriedTooEarly(here);
  await insert();
  await until(() => accepts(here, key));
  expect(await sql(subscriber, 'SELECT FROM api_key_silent_changes')).not.toEqual([]);
});

it.each<[string, (id: string, there: TestApp) => Promise<unknown>]>([
  ['revoked', (id, there) => there.keys.revoke(id)],
  ['deleted', (id) => sql(publisher, 'DELETE FROM api_keys WHERE id = $1', [id])],
  ['truncated with its table', () => sql(publisher, 'TRUNCATE api_keys')],
  ['deleted with its owner', () => sql(publisher, 'DELETE FROM users WHERE id = $1', [userId])],
])('A cached key that is %s on the publisher is refused on the subscriber', async (_, end) => {
  await subscribe('users, api_keys');
  const [there, here] = [await instance(publisher), await instance(subscriber)];
  const { key, apiKey } = await keyOfBoth(there, here);
  await end(apiKey.id, there);
  await until(async () => !(await accepts(here, key)));
});

it('A user that changes on the publisher is loaded again on the subscriber', async () => {
  await subscribe('users, api_keys');
  const loadUser = async (id: string) =>
    (await sql<{ email: string }>(subscriber, 'SELECT email FROM users WHERE id = $1', [id]))[0];
  const [there, here] = [await instance(publisher), await instance(subscriber, { loadUser })];
  const { key } = await keyOfBoth(there, here);
  const emailHere = async () => {
    const { user } = await here.app
      .get(ApiKeyAuthenticator)
      .authenticate(key, { address: null, route: 'test' });
    return (user as { email: string }).email;
  };
  expect(await emailHere()).not.toBe('new@example.com');
  await sql(publisher, `UPDATE users SET email = 'new@example.com' WHERE id = $1`, [userId]);
  await until(async () => (await emailHere()) === 'new@example.com');
});
