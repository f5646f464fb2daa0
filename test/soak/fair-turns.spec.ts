import {
  type Acting,
  ApiKeyConflictError,
  ApiKeyGuard,
  ApiKeyRefusal,
  type ApiKeyService,
  type IssuedApiKey,
  ScopesGuard,
} from 'nestjs-api-key';
import { ApiKeyManagementModule } from 'nestjs-api-key/management';
import { Client } from 'pg';
import { createMigratedDatabase, createUser, sql } from '../support/database';
import { bootOn, type Ground, type GroundSettings } from '../support/ground';
import { until } from '../support/until';

/** More changes than a pool has connections. */
const FLOOD = 30;
/** More calls than other calls may wait for. */
const MANY = 250;
/** How many changes of one owner may wait in one instance, and one more that runs. */
const MOST_OF_ONE_OWNER = 501;
/** How many calls of one kind may wait in one instance. */
const MOST_OF_ALL = 5_000;
/** So many keys of one owner that their waiting changes would fill an instance. */
const MANY_KEYS = 10;
/** Shorter than three changes that wait for a lock one after the other. */
const LOOK_UP_TIMEOUT_MS = 5_000;

let database: string;
let ground: Ground;
let keys: ApiKeyService;
let mine: IssuedApiKey;
let theirs: IssuedApiKey;
let holder: Client;

const issue = async () =>
  keys.create({ userId: await createUser(database), name: 'ci', scopes: ['*'] as never });

async function boot(max: number, settings: GroundSettings = {}): Promise<void> {
  const typeorm = { extra: { max } };
  const cache = { lookUpTimeoutMs: LOOK_UP_TIMEOUT_MS, userCacheMs: 0 };
  ground = await bootOn(database, { typeorm, options: { cache, audit: { refused: 'off' } }, ...settings });
  keys = ground.keys;
  [mine, theirs] = [await issue(), await issue()];
}

beforeEach(async () => {
  database = await createMigratedDatabase();
  holder = new Client({ connectionString: database });
  holder.on('error', () => {});
  await holder.connect();
});

afterEach(async () => {
  await holder.end();
  await ground.close();
});

const waiting = () =>
  sql<{ pid: number; began: string }>(
    database,
    `SELECT pid, xact_start::text AS began FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
const untilWaiting = () => until(async () => (await waiting()).length > 0);
const lockRow = ({ apiKey }: IssuedApiKey) =>
  holder.query(`BEGIN; SELECT FROM api_keys WHERE id = ${apiKey.id} FOR UPDATE`);
const rename = (n: number, { apiKey }: IssuedApiKey = mine) =>
  keys.update(apiKey.id, { name: `ci ${n}` }, { apiKey });
/** Many calls at once, whose outcomes are looked at later. */
const flood = (call: (n: number) => Promise<unknown>, count = FLOOD) =>
  Array.from({ length: count }, (_, n) => call(n).catch((error: unknown) => error));
/**
 * Makes each call while `MANY` calls of `flooding` always wait, and expects that fewer of these
 * end before it: it does not wait for all that came before it.
 */
async function useDuring(flooding: () => Promise<unknown>, calls: readonly (() => Promise<unknown>)[]) {
  let [isOver, ended] = [false, 0];
  const again = async () => {
    while (!isOver) {
      await flooding();
      ended += 1;
    }
  };
  const all = Array.from({ length: MANY }, again);
  for (const call of calls) {
    const before = ended;
    await call();
    expect(ended - before).toBeLessThan(MANY);
  }
  isOver = true;
  await Promise.all(all);
}
const haveAnySettled = (outcomes: readonly Promise<unknown>[]) =>
  Promise.race([
    ...outcomes.map((outcome) => outcome.then(() => true)),
    new Promise((resolve) => setImmediate(resolve, false)),
  ]);

it.each([
  1, 2, 10,
])('while changes of one key wait for a row that another session locked, all calls for other owners succeed with a pool of %i connections', async (max) => {
  await boot(max);
  const [cold, revoked, deleted] = [await issue(), await issue(), await issue()];
  await lockRow(mine);
  const blocked = flood((n) => rename(n));
  await untilWaiting();
  const acting = { apiKey: theirs.apiKey };
  expect(await keys.verify(cold.key)).toMatchObject({ ok: true });
  expect(await rename(1, theirs)).toMatchObject({ name: 'ci 1' });
  expect(await keys.get(theirs.apiKey.id, acting)).toMatchObject({ name: 'ci 1' });
  expect((await keys.list({}, acting)).items).toHaveLength(1);
  expect((await keys.events(theirs.apiKey.id, {}, acting))?.items).toHaveLength(2);
  expect(await keys.usage(theirs.apiKey.id, acting)).toMatchObject({ quota: null });
  expect(await keys.rotate(theirs.apiKey.id, {}, acting)).toMatchObject({ key: expect.any(String) });
  expect(await keys.revoke(revoked.apiKey.id)).toMatchObject({ apiKey: { revokedAt: expect.any(Date) } });
  expect(await keys.delete(deleted.apiKey.id)).toBe(true);
  expect(await keys.revokeAll({ userId: cold.apiKey.userId })).toHaveLength(1);
  expect(await ground.dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  await holder.query('COMMIT');
  for (const outcome of await Promise.all(blocked))
    if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
});

it.each<[string, (n: number, others: readonly IssuedApiKey[]) => Promise<unknown>]>([
  ['creations', () => keys.create({ userId: mine.apiKey.userId, name: 'new' })],
  ['changes by the application', (n, others) => rename(n, others[n])],
  ['rotations', (n, others) => keys.rotate(others[n]?.apiKey.id as string)],
  ['revocations', (n, others) => keys.revoke(others[n]?.apiKey.id as string)],
  ['deletions', (n, others) => keys.delete(others[n]?.apiKey.id as string)],
  ['reads of the trail', (_, others) => keys.events(others[0]?.apiKey.id as string)],
  [
    'imports',
    (n) => {
      const keyDigest = String(n).padStart(64, '0');
      return keys.import([{ userId: mine.apiKey.userId, name: 'x', keyDigest, keyPrefix: 'abcd1234' }]);
    },
  ],
])('while %s wait for the locked trail, keys are looked up, and the application finds a connection', async (_, call) => {
  await boot(10);
  const others = await Promise.all(Array.from({ length: FLOOD }, issue));
  await holder.query('BEGIN; LOCK TABLE api_key_events IN ACCESS EXCLUSIVE MODE');
  const blocked = flood((n) => call(n, others));
  await untilWaiting();
  const cold = Array.from({ length: 3 }, () => keys.verify(theirs.key));
  for (const found of await Promise.all(cold)) expect(found).toMatchObject({ ok: true });
  expect(await ground.dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect((await waiting()).length).toBeLessThanOrEqual(5);
  await holder.query('COMMIT');
  await Promise.all(blocked);
});

it('a revocation overtakes the changes of the same key that wait', async () => {
  await boot(10);
  const changes = flood((n) => rename(n), MANY);
  await keys.revoke(mine.apiKey.id, {}, { apiKey: mine.apiKey });
  const outcomes = await Promise.all(changes);
  const made = outcomes.filter((outcome) => !(outcome instanceof Error));
  expect(made.length).toBeLessThan(MANY);
  for (const outcome of outcomes)
    if (outcome instanceof Error)
      expect(outcome instanceof ApiKeyConflictError || outcome instanceof ApiKeyRefusal).toBe(true);
});

describe.each([2, 10])('with a pool of %i connections,', (max) => {
  it.each<[string, () => Promise<unknown>]>([
    ['creations', () => keys.create({ userId: mine.apiKey.userId, name: 'x' }, { apiKey: mine.apiKey })],
    ['revocations', () => keys.revoke('999999', {}, { apiKey: mine.apiKey })],
    ['deletions', () => keys.delete('999999', { apiKey: mine.apiKey })],
    ['reads', () => keys.list({}, { apiKey: mine.apiKey })],
    ['reports of usage', () => keys.usage(mine.apiKey.id, { apiKey: mine.apiKey })],
  ])('calls for other owners do not wait for all %s of one key', async (_, call) => {
    await boot(max);
    const acting = { apiKey: theirs.apiKey };
    await useDuring(call, [
      () => rename(1, theirs),
      () => keys.list({}, acting),
      () => keys.verify(theirs.key),
      () => keys.revoke(theirs.apiKey.id, {}, acting),
    ]);
  });
});

it('a change by another key of the same owner does not wait for all changes of the first key', async () => {
  await boot(10);
  const other = await keys.create({ userId: mine.apiKey.userId, name: 'ci', scopes: ['*'] as never });
  await useDuring(() => rename(1), [() => rename(1, other)]);
});

it('a report of usage takes its turn among the reads of its owner, so that an owner reads on one connection', async () => {
  await boot(10);
  const [me, they] = [mine, theirs].map(
    ({ apiKey }) =>
      () =>
        keys.get(apiKey.id, { apiKey }),
  );
  await holder.query('BEGIN; LOCK TABLE api_key_usage IN ACCESS EXCLUSIVE MODE');
  const report = keys.usage(mine.apiKey.id, { apiKey: mine.apiKey });
  await untilWaiting();
  const read = me?.();
  for (let n = 0; n < FLOOD; n++) await they?.();
  expect(await haveAnySettled([read as Promise<unknown>])).toBe(false);
  await holder.query('COMMIT');
  expect(await report).toMatchObject({ quota: null });
  expect(await read).toMatchObject({ id: mine.apiKey.id });
});

describe('a revocation that waits for a locked row', () => {
  it('does not keep the application from revoking another key of the owner', async () => {
    await boot(10);
    const other = await keys.create({ userId: mine.apiKey.userId, name: 'ci' });
    await lockRow(mine);
    const blocked = flood(() => keys.revoke(mine.apiKey.id, {}, { apiKey: mine.apiKey }), MOST_OF_ONE_OWNER);
    await untilWaiting();
    expect(await keys.revoke(other.apiKey.id)).toMatchObject({ apiKey: { revokedAt: expect.any(Date) } });
    await holder.query('COMMIT');
    await Promise.all(blocked);
  });

  it('gives its connection back, tries again, and revokes the key after the row is free', async () => {
    await boot(2);
    await lockRow(mine);
    const revoking = keys.revoke(mine.apiKey.id);
    const attempts = new Set<string>();
    await until(async () => {
      for (const { began } of await waiting()) attempts.add(began);
      return attempts.size >= 2;
    });
    await holder.query('COMMIT');
    expect(await revoking).toMatchObject({ apiKey: { revokedAt: expect.any(Date) } });
  });

  it('tries again if its connection is ended', async () => {
    await boot(2);
    await lockRow(mine);
    const revoking = keys.revoke(mine.apiKey.id);
    await untilWaiting();
    for (const { pid } of await waiting()) await sql(database, 'SELECT pg_terminate_backend($1)', [pid]);
    await holder.query('COMMIT');
    expect(await revoking).toMatchObject({ apiKey: { revokedAt: expect.any(Date) } });
  });

  it('fails with KEY_STORE_UNAVAILABLE if the row stays locked, and the key stays valid', async () => {
    await boot(2);
    await lockRow(mine);
    await expect(keys.revoke(mine.apiKey.id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    expect(await keys.verify(mine.key)).toMatchObject({ ok: true });
  });
});

it('a change beyond those of its owner that may wait is answered before these with 503 and Retry-After, and changes of other owners with 200', async () => {
  await boot(10, { imports: [ApiKeyManagementModule.forRoot({ guards: [ApiKeyGuard, ScopesGuard] })] });
  await lockRow(mine);
  const blocked = flood((n) => rename(n), MOST_OF_ONE_OWNER);
  await untilWaiting();
  const patch = ({ key, apiKey }: IssuedApiKey) =>
    fetch(`${ground.url}/api-keys/${apiKey.id}`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'new' }),
    });
  const refused = await patch(mine);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await refused.json()).toMatchObject({ error: 'KEY_STORE_UNAVAILABLE' });
  expect((await patch(theirs)).status).toBe(200);
  expect(await haveAnySettled(blocked)).toBe(false);
  await holder.query('COMMIT');
  await Promise.all(blocked);
});

it.each<[string, (acting: Acting) => Promise<unknown>]>([
  ['changes', (acting) => keys.update(mine.apiKey.id, { name: 'x' }, acting)],
  ['revocations', (acting) => keys.revoke(mine.apiKey.id, {}, acting)],
])('while %s by many keys of one owner fill all places, calls of other owners succeed, and those by the owner itself wait', async (_, call) => {
  await boot(10);
  const { userId } = mine.apiKey;
  const others = await Promise.all(
    Array.from({ length: MANY_KEYS }, () => keys.create({ userId, name: 'ci', scopes: ['*'] as never })),
  );
  await lockRow(mine);
  const acting = others.flatMap((by) => Array.from({ length: MOST_OF_ONE_OWNER }, () => by.apiKey));
  const blocked = flood((n) => call({ apiKey: acting[n] }), acting.length);
  await untilWaiting();
  expect(await rename(1, theirs)).toMatchObject({ name: 'ci 1' });
  expect(await keys.get(theirs.apiKey.id, { apiKey: theirs.apiKey })).toMatchObject({ name: 'ci 1' });
  expect(await keys.revoke(theirs.apiKey.id)).toMatchObject({ apiKey: { revokedAt: expect.any(Date) } });
  const own = keys.revoke(mine.apiKey.id, {}, { userId });
  await keys.get(theirs.apiKey.id);
  await holder.query('COMMIT');
  expect(await own).toMatchObject({ apiKey: { revokedAt: expect.any(Date) } });
  await ground.close();
  await Promise.all(blocked);
});

it('while one owner floods an instance with calls that name the owner, calls of other owners succeed, if PostgreSQL must be asked for the spelling of owners', async () => {
  await boot(10);
  await sql(
    database,
    'ALTER TABLE api_keys DROP CONSTRAINT api_keys_user_id_fkey, ALTER user_id TYPE text USING user_id::text',
  );
  const [me, they] = ['acct_me', 'acct_they'];
  const { apiKey } = await keys.create({ userId: me, name: 'ci', scopes: ['*'] as never });
  const other = await keys.create({ userId: they, name: 'ci' });
  const calls = [
    ...flood(() => keys.create({ userId: me, name: 'ci' }, { apiKey }), MOST_OF_ALL),
    ...flood(() => keys.list({}, { userId: me }), MOST_OF_ALL),
  ];
  expect(await keys.get(other.apiKey.id, { userId: they })).toMatchObject({ userId: they });
  expect((await keys.list({ userId: they }, other)).items).toHaveLength(1);
  await ground.close();
  await Promise.all(calls);
});

it('a shutdown settles all changes and reads that wait, although their row stays locked', async () => {
  await boot(2);
  await lockRow(mine);
  let unsettled = 0;
  const settling = [...Array(FLOOD).keys()].map(async (n) => {
    unsettled += 1;
    const call = n % 2 === 0 ? rename(n) : keys.revoke(mine.apiKey.id);
    await call.catch(() => {});
    unsettled -= 1;
  });
  await untilWaiting();
  await ground.close();
  await Promise.all(settling);
  expect(unsettled).toBe(0);
  await expect(rename(1)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
});
