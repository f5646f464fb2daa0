import {
  type ApiKey,
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  type ApiKeyService,
  type CreateApiKeyInput,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { until } from './support/until';

const HOURLY = (limit: number) => ({ limit, windowSeconds: 3_600 });
/** What who acts by a key that has ended is answered. */
const ENDED = { code: 'INVALID_API_KEY' };
const UNBOUND = { limit: 1_000_000, windowSeconds: 1 };

let database: string;
let app: TestApp;
let keys: ApiKeyService;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  app = await bootApp({ database, connectTimeoutMs: 60_000 });
  keys = app.keys;
});
afterAll(() => app.close());

async function made(fields: object = {}, maker?: ApiKey): Promise<ApiKey> {
  const input = { userId, name: 'ci', scopes: ['*'], ...fields } as CreateApiKeyInput;
  return (await keys.create(input, maker ? { apiKey: maker } : {})).apiKey;
}

async function rotated(id: string, actor?: ApiKey): Promise<ApiKey> {
  const issued = await keys.rotate(id, { overlapSeconds: 0 }, actor ? { apiKey: actor } : {});
  if (!issued) throw new Error(`there is no key ${id}`);
  return issued.apiKey;
}

async function present(id: string): Promise<ApiKey> {
  const apiKey = await keys.get(id);
  if (!apiKey) throw new Error(`there is no key ${id}`);
  return apiKey;
}

/** A key, a child of it, a child of that, and so on; the last one. */
async function chainFrom(root: ApiKey, length: number): Promise<ApiKey> {
  let last = root;
  for (let i = 0; i < length; i++) last = await made({}, last);
  return last;
}

/** Writes a column by hand, as an operator may. */
async function byHand(id: string, assignment: string): Promise<ApiKey> {
  await sql(database, `UPDATE api_keys SET ${assignment} WHERE id = $1`, [id]);
  return present(id);
}

const xminOf = async (id: string) =>
  (await sql<{ xmin: string }>(database, 'SELECT xmin::text FROM api_keys WHERE id = $1', [id]))[0]?.xmin;

describe('lineage', () => {
  it('of two long lines that meet in a rotation is truncated, and a revocation still finds the successor', async () => {
    const root = await made();
    const [one, other] = [await chainFrom(root, 17), await chainFrom(root, 17)];
    const successor = await rotated(other.id, one);
    expect(successor.ancestorIds).toHaveLength(32);
    expect(successor.ancestorIds).not.toContain(root.id);
    await keys.revoke(root.id, { descendants: true });
    expect((await present(successor.id)).revokedAt).not.toBeNull();
  });

  it('of a key that another key rotates each day is truncated, and a revocation of either key finds the last successor', async () => {
    const [manager, first] = [await made(), await made()];
    let last = first;
    for (let i = 0; i < 40; i++) last = await rotated(last.id, manager);
    expect(last.ancestorIds).toHaveLength(32);
    expect(last.ancestorIds).toContain(manager.id);
    expect(last.ancestorIds).not.toContain(first.id);
    const child = await made({}, last);
    const revocation = await keys.revoke(first.id, { descendants: true });
    expect(revocation?.descendants.map(({ id }) => id)).toEqual(expect.arrayContaining([last.id, child.id]));
  });

  it.each(['{NULL}', '{7,NULL}'])('of %s, written by hand, has no NULL', async (ids) => {
    const key = await made();
    const edited = await byHand(key.id, `ancestor_ids = '${ids}'`);
    const child = await made({}, edited);
    expect(child.ancestorIds.at(-1)).toBe(key.id);
  });
});

describe('limits', () => {
  it('of an ancestor do not replace a limit that a key sets for itself', async () => {
    const root = await made({ rateLimit: HOURLY(1), quota: { limit: 1, period: 'day' } });
    const child = await made({}, root);
    await keys.update(child.id, { rateLimit: HOURLY(5), quota: { limit: 5, period: 'day' } });
    const acting = { apiKey: await present(child.id) };
    for (const changes of [{ rateLimit: UNBOUND }, { rateLimit: null }, { quota: null }])
      await expect(keys.update(child.id, changes, acting)).rejects.toThrow(ApiKeyAuthorityError);
    await expect(made({ rateLimit: UNBOUND }, acting.apiKey)).rejects.toThrow(ApiKeyAuthorityError);
  });

  it('that are first set on a successor apply to keys that its predecessor created, also if the predecessor was deleted', async () => {
    const first = await made();
    const child = await made({}, first);
    const second = await rotated(first.id);
    await keys.delete(first.id);
    await keys.update(second.id, { rateLimit: HOURLY(5) });
    expect((await present(child.id)).sharedLimits).toEqual([
      { id: first.id, rateLimit: HOURLY(5), quota: null },
    ]);
  });

  it.each(['NULL', '0', '-7'])('with a window of %s use the default window', async (seconds) => {
    const key = await made();
    const edited = await byHand(key.id, `rate_limit = 5, rate_limit_window_seconds = ${seconds}`);
    await expect(made({ rateLimit: { limit: 5, windowSeconds: 59 } }, edited)).rejects.toThrow(
      ApiKeyAuthorityError,
    );
    const child = await made({ rateLimit: { limit: 5, windowSeconds: 60 } }, edited);
    expect(child.sharedLimits).toEqual([
      { id: key.id, rateLimit: { limit: 5, windowSeconds: 60 }, quota: null },
    ]);
    expect(await rotated(key.id)).toMatchObject({ rateLimit: 5, rateLimitWindowSeconds: 60 });
  });

  it.each([
    '{"a":1}',
    '5',
    '[5]',
    '[null]',
    '[{"id":7}]',
    '[{"id":"7","rateLimit":{"limit":"x"},"quota":null}]',
  ])('that are unreadable, such as %s, allow no request, and stay stored', async (json) => {
    const root = await made();
    const child = await made({}, root);
    const nothing = expect.objectContaining({ rateLimit: expect.objectContaining({ limit: 0 }) });
    const edited = await byHand(child.id, `shared_limits = '${json}'`);
    expect(edited.sharedLimits).toEqual([nothing]);
    expect((await made({}, edited)).sharedLimits).toEqual([nothing]);
    await keys.update(root.id, { rateLimit: HOURLY(5) });
    expect((await present(child.id)).sharedLimits).toEqual([
      nothing,
      { id: root.id, rateLimit: HOURLY(5), quota: null },
    ]);
  });
});

/**
 * Has a row held by another session until so many wait for a lock, and a condition on that row `k`
 * holds.
 */
async function whileHeld(
  id: string,
  works: readonly (() => Promise<unknown>)[],
  condition = 'true',
): Promise<unknown[]> {
  const client = new Client({ connectionString: database });
  await client.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [id]);
  const outcomes: Promise<unknown>[] = [];
  for (const work of works) {
    outcomes.push(work().catch((error) => error));
    await until(async () => {
      const waiting = await sql(
        database,
        `SELECT FROM pg_stat_activity, api_keys k WHERE datname = current_database() AND wait_event_type = 'Lock'
           AND k.id = $1 AND ${condition}`,
        [id],
      );
      return waiting.length >= outcomes.length;
    });
  }
  await client.query('COMMIT');
  await client.end();
  return Promise.all(outcomes);
}

it('A key that expires while its change waits for a locked row is refused', async () => {
  const key = await made({ expiresAt: new Date(Date.now() + 1_500) });
  const outcomes = await whileHeld(key.id, [() => made({}, key)], 'k.expires_at < clock_timestamp()');
  expect(outcomes).toEqual([expect.objectContaining(ENDED)]);
});

it('A key that is created while all keys of its owner are revoked is revoked with them', async () => {
  const maker = await made();
  await whileHeld(maker.id, [() => made({}, maker), () => keys.revokeAll({ userId })]);
  const live = await sql(database, 'SELECT FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL', [
    userId,
  ]);
  expect(live).toEqual([]);
});

it('A key that is created during a revocation of the descendants of a deleted ancestor is revoked with them', async () => {
  const root = await made();
  const maker = await made({}, root);
  await keys.delete(root.id);
  const [child] = await whileHeld(maker.id, [
    () => made({}, maker),
    () => keys.revoke(root.id, { descendants: true }),
  ]);
  expect(await present((child as ApiKey).id)).toMatchObject({ revokedAt: expect.any(Date) });
});

it('A key is judged by its present authority, not by its authority when its request arrived', async () => {
  const key = await made();
  await keys.update(key.id, { scopes: [] });
  await expect(made({ scopes: ['*'] }, key)).rejects.toThrow(ApiKeyAuthorityError);
});

it('A key that widens one field of another key must have all that the other key has afterwards', async () => {
  const [weak, strong] = [await made({ scopes: ['a'] }), await made({ allowedIps: ['10.0.0.0/8'] })];
  await expect(keys.update(strong.id, { allowedIps: null }, { apiKey: weak })).rejects.toThrow(
    ApiKeyAuthorityError,
  );
});

it.each([
  'has expired',
  'was rotated',
])('The expiry of a key that %s is not extended by a key', async (how) => {
  const [actor, key] = [await made(), await made()];
  if (how === 'has expired') await byHand(key.id, `expires_at = now() - interval '1 s'`);
  else await keys.rotate(key.id);
  await expect(keys.update(key.id, { expiresAt: null }, { apiKey: actor })).rejects.toThrow(
    ApiKeyConflictError,
  );
});

it.each([
  ['with microseconds', `date_trunc('second', now()) + interval '1 hour 123456 microseconds'`],
  ['that never comes', `'infinity'`],
])('An expiry %s that is set to its own value writes nothing', async (_, expiry) => {
  const key = await made();
  const { expiresAt } = await byHand(key.id, `expires_at = ${expiry}`);
  const before = await xminOf(key.id);
  await keys.update(key.id, { expiresAt });
  expect(await xminOf(key.id)).toBe(before);
});

it('An expired or revoked key is refused as invalid, whatever it requests', async () => {
  const [actor, target] = [await made(), await made()];
  for (const { id } of [target, actor]) await keys.revoke(id);
  const acting = { apiKey: actor };
  for (const change of [
    () => keys.revoke(target.id, {}, acting),
    () => keys.revokeAll({ userId }, acting),
    () => keys.update(target.id, { name: 'x' }, acting),
    () => keys.rotate(target.id, {}, acting),
    () => keys.delete(target.id, acting),
    () => made({}, actor),
  ])
    await expect(change()).rejects.toMatchObject(ENDED);
});

it('A second rotation after the first successor was deleted does not write the same expiry again', async () => {
  const key = await made();
  const overlapSeconds = 3_600;
  const successor = await keys.rotate(key.id, { overlapSeconds });
  await keys.delete(successor?.apiKey.id ?? '');
  const before = await xminOf(key.id);
  await keys.rotate(key.id, { overlapSeconds });
  expect(await xminOf(key.id)).toBe(before);
});
