import fc from 'fast-check';
import {
  type Acting,
  API_KEY_STATES,
  ApiKey,
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  ApiKeyInputError,
  type ApiKeyService,
  type ApiKeyState,
  type CreateApiKeyInput,
  type UpdateApiKeyInput,
} from 'nestjs-api-key';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';

const SECOND_MS = 1_000;
const DAY_MS = 86_400 * SECOND_MS;

let database: string;
let app: TestApp;
let keys: ApiKeyService;
let userId: string;
let otherId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  [userId, otherId] = [await createUser(database), await createUser(database)];
  app = await bootApp({ database, connectTimeoutMs: 60_000 });
  keys = app.keys;
});

afterAll(() => app.close());

/** Tries again while the database is too busy, like a caller who gets 503. */
async function untilAnswered<Result>(change: () => Promise<Result>): Promise<Result> {
  for (;;)
    try {
      return await change();
    } catch (error) {
      if ((error as { code?: string }).code !== 'KEY_STORE_UNAVAILABLE') throw error;
    }
}

/** Scopes of these tests are no part of the sample's catalogue. */
type Fields = Omit<Partial<CreateApiKeyInput>, 'scopes'> & { scopes?: readonly string[] };

const issue = (fields: Fields = {}) => keys.create({ userId, name: 'ci', ...fields } as CreateApiKeyInput);
const update = (id: string, fields: Fields, acting?: Acting) =>
  keys.update(id, fields as UpdateApiKeyInput, acting);
const ended = async (key: string) => (await keys.verify(key)).ok === false;
const inFuture = (ms: number) => new Date(Date.now() + ms);

describe('update', () => {
  it('changes only the given fields', async () => {
    const { apiKey } = await issue({ scopes: ['a'], metadata: { team: 'x' } });
    const expiresAt = inFuture(DAY_MS);
    const changes = {
      name: 'renamed',
      scopes: ['a', 'b:*'],
      expiresAt,
      rateLimit: { limit: 100, windowSeconds: 60 },
      quota: { limit: 1_000, period: 'month' as const },
      allowedIps: ['10.1.2.3/8', '2001:db8::1'],
      metadata: { team: 'y', deep: { list: [1, null] } },
    };
    const updated = await update(apiKey.id, changes);
    expect(updated).toMatchObject({
      id: apiKey.id,
      userId,
      name: 'renamed',
      scopes: ['a', 'b:*'],
      expiresAt,
      rateLimit: 100,
      rateLimitWindowSeconds: 60,
      quota: 1_000,
      quotaPeriod: 'month',
      allowedIps: ['10.0.0.0/8', '2001:db8::1/128'],
      metadata: { team: 'y', deep: { list: [1, null] } },
    });
    expect(await keys.get(apiKey.id)).toMatchObject({ name: 'renamed', allowedIps: updated?.allowedIps });
    const cleared = await keys.update(apiKey.id, {
      expiresAt: null,
      rateLimit: null,
      quota: null,
      allowedIps: null,
    });
    expect(cleared).toMatchObject({
      name: 'renamed',
      expiresAt: null,
      rateLimit: null,
      quota: null,
      quotaPeriod: null,
      allowedIps: null,
    });
  });

  it.each<[string, object]>([
    ['an owner', { userId: '1' }],
    ['a digest', { keyDigest: 'x' }],
    ['a revocation', { revokedAt: null }],
    ['an empty name', { name: '' }],
    ['a name of 256 characters', { name: 'n'.repeat(256) }],
    ['a name with a control character', { name: 'a\nb' }],
    ['a name of null', { name: null }],
    ['scopes of null', { scopes: null }],
    ['101 scopes', { scopes: Array.from({ length: 101 }, (_, i) => `s${i}`) }],
    ['a scope with a space', { scopes: ['a b'] }],
    ['an expiry in the past', { expiresAt: new Date(Date.now() - 1) }],
    ['an expiry as text', { expiresAt: '2999-01-01T00:00:00Z' }],
    ['a limit without a window', { rateLimit: { limit: 1 } }],
    ['a limit of 0', { rateLimit: { limit: 0, windowSeconds: 1 } }],
    ['a limit with a third field', { rateLimit: { limit: 1, windowSeconds: 1, burst: 1 } }],
    ['a quota without a period', { quota: { limit: 1 } }],
    ['a quota of an hour', { quota: { limit: 1, period: 'hour' } }],
    ['a quota of a fraction', { quota: { limit: 1.5, period: 'day' } }],
    ['a quota with a third field', { quota: { limit: 1, period: 'day', cost: 1 } }],
    ['a host name', { allowedIps: ['localhost'] }],
    ['an empty list of addresses', { allowedIps: [] }],
    ['a block of 33 bits', { allowedIps: ['10.0.0.0/33'] }],
    ['metadata that is a list', { metadata: [] }],
    ['metadata of more than 16 KiB', { metadata: { text: 'x'.repeat(16_384) } }],
    ['metadata with a NUL', { metadata: { text: '\0' } }],
    ['metadata with half a surrogate pair', { metadata: { text: '\ud800' } }],
    ['metadata of 33 levels', { metadata: JSON.parse(`${'{"a":'.repeat(33)}1${'}'.repeat(33)}`) }],
    ['metadata with a number that JSON cannot represent', { metadata: { n: 1n } }],
    ['metadata that contains itself', { metadata: selfReferring() }],
  ])('refuses %s and changes nothing', async (_, changes) => {
    const { apiKey } = await issue();
    await expect(keys.update(apiKey.id, changes as UpdateApiKeyInput)).rejects.toThrow(ApiKeyInputError);
    expect(await keys.get(apiKey.id)).toEqual(apiKey);
  });

  it('of a revoked key is a conflict, because a revoked key must stay revoked', async () => {
    const { key, apiKey } = await issue();
    await keys.revoke(apiKey.id);
    await expect(keys.update(apiKey.id, { expiresAt: null })).rejects.toThrow(ApiKeyConflictError);
    expect(await ended(key)).toBe(true);
  });
});

function selfReferring(): object {
  const value: Record<string, unknown> = {};
  value.self = value;
  return value;
}

describe('rotate', () => {
  it('copies name, scopes, limit, addresses and metadata, and refers to the old key', async () => {
    const given = {
      name: 'old name',
      scopes: ['a', 'b:*'],
      rateLimit: { limit: 5, windowSeconds: 60 },
      allowedIps: ['10.0.0.0/8'],
      metadata: { team: 'x' },
    };
    const old = await issue(given);
    const rotated = await keys.rotate(old.apiKey.id, { overlapSeconds: 3_600 });
    expect(rotated?.apiKey).toMatchObject({
      name: 'old name',
      scopes: ['a', 'b:*'],
      rateLimit: 5,
      rateLimitWindowSeconds: 60,
      allowedIps: ['10.0.0.0/8'],
      metadata: { team: 'x' },
      userId,
      replacesId: old.apiKey.id,
      expiresAt: null,
    });
    expect(rotated?.key).not.toBe(old.key);
    expect(await ended(old.key)).toBe(false);
    expect(await ended(rotated?.key ?? '')).toBe(false);
  });

  it.each([
    ['the end of the overlap', DAY_MS, 3_600, 3_600 * SECOND_MS],
    ['its own, if that comes first', 60 * SECOND_MS, 3_600, 60 * SECOND_MS],
  ])('gives the old key an expiry that is %s', async (_, life, overlapSeconds, left) => {
    const old = await issue({ expiresAt: inFuture(life) });
    const before = Date.now();
    await keys.rotate(old.apiKey.id, { overlapSeconds });
    const expiresAt = (await keys.get(old.apiKey.id))?.expiresAt?.getTime() ?? 0;
    expect(expiresAt).toBeGreaterThanOrEqual(old.apiKey.createdAt.getTime() + left - 30 * SECOND_MS);
    expect(expiresAt).toBeLessThanOrEqual(Math.max(before, Date.now()) + left + SECOND_MS);
  });

  it('with an overlap of 0 ends the old key at once', async () => {
    const old = await issue();
    await keys.rotate(old.apiKey.id, { overlapSeconds: 0 });
    expect(await keys.verify(old.key)).toEqual({ ok: false, reason: 'expired' });
  });

  it('gives the new key the same lifetime as the old key, or the requested one', async () => {
    const old = await issue({ expiresAt: inFuture(DAY_MS) });
    const again = await keys.rotate(old.apiKey.id);
    const life = (again?.apiKey.expiresAt?.getTime() ?? 0) - (again?.apiKey.createdAt.getTime() ?? 0);
    expect(Math.abs(life - DAY_MS)).toBeLessThan(5 * SECOND_MS);
    const forever = await keys.rotate(again?.apiKey.id ?? '', { expiresAt: null });
    expect(forever?.apiKey.expiresAt).toBeNull();
  });

  it.each([
    -1,
    1.5,
    30 * 86_400 + 1,
    Number.NaN,
    '60',
    null,
  ])('refuses an overlap of %p', async (overlapSeconds) => {
    const { apiKey } = await issue();
    await expect(keys.rotate(apiKey.id, { overlapSeconds: overlapSeconds as number })).rejects.toThrow(
      ApiKeyInputError,
    );
    expect(await keys.get(apiKey.id)).toEqual(apiKey);
  });

  it.each<[string, (id: string) => Promise<unknown>]>([
    ['rotated', (id) => keys.rotate(id)],
    ['revoked', (id) => keys.revoke(id)],
    ['expired', (id) => sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = ${id}`)],
  ])('of a key that is %s is a conflict', async (_, end) => {
    const { apiKey } = await issue();
    await end(apiKey.id);
    await expect(keys.rotate(apiKey.id)).rejects.toThrow(ApiKeyConflictError);
  });

  it('200 times at once creates one successor and 199 conflicts', async () => {
    const { apiKey } = await issue();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 200 }, () => untilAnswered(() => keys.rotate(apiKey.id))),
    );
    const lost = outcomes.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[];
    expect(lost.map(({ reason }) => reason.constructor)).toEqual(Array(199).fill(ApiKeyConflictError));
    expect(await sql(database, `SELECT id FROM api_keys WHERE replaces_id = ${apiKey.id}`)).toHaveLength(1);
  });
});

describe('unknown ids and keys of another owner are not found', () => {
  const calls: [string, (id: string, acting?: Acting) => Promise<unknown>][] = [
    ['get', (id, acting) => keys.get(id, acting)],
    ['update', (id, acting) => keys.update(id, { name: 'taken' }, acting)],
    ['rotate', (id, acting) => keys.rotate(id, {}, acting)],
    ['revoke', (id, acting) => keys.revoke(id, {}, acting)],
    ['events', (id, acting) => keys.events(id, {}, acting)],
    ['delete', async (id, acting) => (await keys.delete(id, acting)) || null],
  ];
  const NO_IDS = [
    '0',
    '-1',
    '1.5',
    'x',
    '',
    '9223372036854775808',
    '1'.repeat(40),
    '1;--',
    ' 1',
    '999999999',
  ];

  it.each(calls)('by %s', async (_, call) => {
    for (const id of NO_IDS) expect(await call(id)).toBeNull();
    const { key, apiKey } = await issue();
    const other = await keys.create({ userId: otherId, name: 'other', scopes: ['*'] });
    expect(await call(apiKey.id, { userId: otherId })).toBeNull();
    expect(await call(apiKey.id, { apiKey: other.apiKey })).toBeNull();
    expect(await keys.get(apiKey.id)).toEqual(apiKey);
    expect(await ended(key)).toBe(false);
    expect(await call(apiKey.id, { userId })).not.toBeNull();
  });

  it('in a list', async () => {
    const other = await createUser(database);
    expect(await keys.list({}, { userId: other })).toEqual({ items: [], nextCursor: null });
    expect(await keys.list({ userId }, { userId: other })).toEqual({ items: [], nextCursor: null });
    expect((await keys.list({}, { userId })).items.every((found) => found.userId === userId)).toBe(true);
  });

  it('for an owner or key that is undefined or unreadable, which must not mean all', async () => {
    const { apiKey } = await issue();
    for (const acting of [
      { userId: undefined },
      { apiKey: undefined },
      { apiKey: {} },
      { apiKey: 'acme_live_raw' as unknown },
      { apiKey: Object.assign(new ApiKey(), { id: apiKey.id, scopes: ['*'] }) },
      { userId: otherId, apiKey },
      { id: 7, email: 'ada@example.com' },
      ['owner'],
      [],
      new Map([['userId', otherId]]),
      apiKey,
    ] as Acting[]) {
      for (const [, call] of calls) await expect(call(apiKey.id, acting)).rejects.toThrow(ApiKeyInputError);
      await expect(keys.list({}, acting)).rejects.toThrow(ApiKeyInputError);
      await expect(keys.create({ userId, name: 'x' }, acting)).rejects.toThrow(ApiKeyInputError);
    }
  });

  it('and neither an owner nor a key prunes or imports keys, which covers all owners', async () => {
    const { apiKey } = await issue();
    for (const acting of [{ userId }, { apiKey }, { apiKey: undefined }] as object[]) {
      await expect(keys.prune({}, acting)).rejects.toThrow(ApiKeyInputError);
      await expect(keys.import([], {}, acting)).rejects.toThrow(ApiKeyInputError);
    }
  });

  it('and no key is created for another owner than the acting owner', async () => {
    await expect(keys.create({ userId: otherId, name: 'x' }, { userId })).rejects.toThrow(ApiKeyInputError);
  });
});

describe('an acting key gives no more than its own authority', () => {
  const SCOPES = ['*', 'a:*', 'a:b', 'a:b:*', 'a:b:c', 'b', 'b:*', 'b:c'];
  const ATOMS = ['a:b', 'a:b:c', 'a:x', 'b', 'b:c', 'b:x:y', 'z'];
  const scopesOf = fc.subarray(SCOPES);
  const holds = (held: readonly string[], wanted: string) =>
    held.some(
      (scope) =>
        scope === '*' ||
        scope === wanted ||
        (scope.endsWith(':*') && wanted.startsWith(scope.slice(0, -1)) && wanted !== scope.slice(0, -1)),
    );
  const reach = (held: readonly string[]) => ATOMS.filter((atom) => holds(held, atom));
  const isWithin = (given: readonly string[], held: readonly string[]) =>
    given.every((scope) => holds(held, scope));

  async function attempt(
    call: () => Promise<{ scopes: readonly string[] }>,
    given: readonly string[],
    held: readonly string[],
  ) {
    const outcome = await call().then(
      ({ scopes }) => scopes,
      (error: unknown) => error,
    );
    if (isWithin(given, held)) {
      expect(outcome).toEqual(given);
      expect(reach(held)).toEqual(expect.arrayContaining(reach(given)));
    } else {
      expect(outcome).toBeInstanceOf(ApiKeyAuthorityError);
      expect((outcome as ApiKeyAuthorityError).missing.length).toBeGreaterThan(0);
    }
  }

  it('in scopes, by create, update and rotate, whatever the sets of scopes with wildcards', async () => {
    await fc.assert(
      fc.asyncProperty(scopesOf, scopesOf, async (held, given) => {
        const { apiKey } = await issue({ scopes: held });
        const acting = { apiKey };
        const stronger = await issue({ scopes: given });
        const target = await issue({});
        await attempt(
          async () =>
            (await keys.create({ userId, name: 'x', scopes: given } as CreateApiKeyInput, acting)).apiKey,
          given,
          held,
        );
        await attempt(
          async () => (await update(target.apiKey.id, { scopes: given }, acting)) as ApiKey,
          given,
          held,
        );
        await attempt(
          async () => (await keys.rotate(stronger.apiKey.id, {}, acting))?.apiKey as ApiKey,
          given,
          held,
        );
      }),
      { numRuns: 60 },
    );
  });

  it('in expiry, addresses, limit and quota', async () => {
    const { apiKey } = await issue({
      scopes: ['*'],
      expiresAt: inFuture(DAY_MS),
      allowedIps: ['10.0.0.0/8', '2001:db8::/32'],
      rateLimit: { limit: 100, windowSeconds: 60 },
      quota: { limit: 310, period: 'month' },
    });
    const acting = { apiKey };
    const target = await issue();
    const beyond: Fields[] = [
      { expiresAt: null },
      { expiresAt: inFuture(2 * DAY_MS) },
      { allowedIps: null },
      { allowedIps: ['10.1.0.0/16', '11.0.0.1'] },
      { allowedIps: ['0.0.0.0/0'] },
      { allowedIps: ['2001::/16'] },
      { rateLimit: null },
      { rateLimit: { limit: 101, windowSeconds: 60 } },
      { rateLimit: { limit: 100, windowSeconds: 59 } },
      { quota: null },
      { quota: { limit: 311, period: 'month' } },
      { quota: { limit: 11, period: 'day' } },
    ];
    for (const fields of beyond) {
      await expect(
        keys.create({ userId, name: 'x', ...fields } as CreateApiKeyInput, acting),
      ).rejects.toThrow(ApiKeyAuthorityError);
      await expect(update(target.apiKey.id, fields, acting)).rejects.toThrow(ApiKeyAuthorityError);
    }
    expect(await keys.get(target.apiKey.id)).toEqual(target.apiKey);
    await expect(keys.rotate(target.apiKey.id, {}, acting)).rejects.toThrow(ApiKeyAuthorityError);
    const within = {
      allowedIps: ['10.1.0.0/16', '2001:db8:1::/48'],
      rateLimit: { limit: 10, windowSeconds: 60 },
      quota: { limit: 10, period: 'day' as const },
    };
    expect(await keys.update(target.apiKey.id, within, acting)).toMatchObject({
      allowedIps: within.allowedIps,
      quota: 10,
    });
  });

  it('and copies its own limits if none are requested', async () => {
    const expiresAt = inFuture(DAY_MS);
    const { apiKey } = await issue({
      expiresAt,
      allowedIps: ['10.0.0.0/8'],
      rateLimit: { limit: 9, windowSeconds: 9 },
    });
    const made = await keys.create({ userId, name: 'child' }, { apiKey });
    expect(made.apiKey).toMatchObject({
      expiresAt,
      allowedIps: ['10.0.0.0/8'],
      rateLimit: 9,
      rateLimitWindowSeconds: 9,
    });
    const rotated = await keys.rotate(apiKey.id, {}, { apiKey });
    expect(rotated?.apiKey.expiresAt).toEqual(expiresAt);
  });

  it('and a rotation repeats the lifetime of a key if it ends before the acting key expires', async () => {
    const { apiKey } = await issue({ expiresAt: inFuture(DAY_MS) });
    const brief = await issue({ expiresAt: inFuture(3_600 * SECOND_MS) });
    const rotated = await keys.rotate(brief.apiKey.id, {}, { apiKey });
    const life = (rotated?.apiKey.expiresAt?.getTime() ?? 0) - (rotated?.apiKey.createdAt.getTime() ?? 0);
    expect(Math.round(life / 60_000)).toBe(60);
  });
});

describe('revoking', () => {
  it('all keys of an owner revokes only those keys, once', async () => {
    const owner = await createUser(database);
    const own = await Promise.all([1, 2, 3].map(() => keys.create({ userId: owner, name: 'x' })));
    const foreign = await issue();
    expect((await keys.revokeAll({ userId: owner }, { userId })).length).toBe(0);
    const revoked = await keys.revokeAll({ userId: owner, reason: 'left' });
    expect(revoked.map(({ id }) => id).sort()).toEqual(own.map(({ apiKey }) => apiKey.id).sort());
    for (const { key } of own) expect(await keys.verify(key)).toEqual({ ok: false, reason: 'revoked' });
    expect(await ended(foreign.key)).toBe(false);
    expect(await keys.revokeAll({ userId: owner })).toEqual([]);
    expect(await keys.revokeAll({ userId: 'nobody' })).toEqual([]);
  });

  it('again changes nothing', async () => {
    const { apiKey } = await issue();
    const first = await keys.revoke(apiKey.id);
    expect(await keys.revoke(apiKey.id, { reason: 'again', everywhere: true })).toEqual(first);
  });
});

it('prune deletes keys that ended long ago, and no valid, disabled or recently ended key', async () => {
  const url = await createMigratedDatabase();
  const owner = await createUser(url);
  const pruned = await bootApp({ database: url });
  const make = async (change: string) => {
    const { apiKey } = await pruned.keys.create({ userId: owner, name: 'x' });
    await sql(url, `UPDATE api_keys SET ${change} WHERE id = ${apiKey.id}`);
    return apiKey.id;
  };
  const gone = [
    await make(`expires_at = now() - interval '91 days'`),
    await make(`revoked_at = now() - interval '91 days'`),
    await make(`disabled_at = now(), revoked_at = now() - interval '91 days'`),
  ];
  const kept = [
    await make(`expires_at = now() - interval '89 days'`),
    await make(`revoked_at = now() - interval '89 days'`),
    await make(`expires_at = now() + interval '1 day'`),
    await make(`expires_at = 'infinity'`),
    await make('name = name'),
    await make(`disabled_at = now() - interval '99 days', expires_at = now() - interval '99 days'`),
    await make(`disabled_at = now(), expires_at = now() - interval '99 days', revoked_at = now()`),
  ];
  await sql(
    url,
    `UPDATE api_key_events SET created_at = now() - interval '366 days' WHERE key_id = ${kept[0]}`,
  );
  expect(await pruned.keys.prune()).toEqual({ keys: 3, events: 1 });
  expect((await sql<{ id: string }>(url, 'SELECT id FROM api_keys ORDER BY id')).map(({ id }) => id)).toEqual(
    kept,
  );
  for (const id of gone)
    expect((await pruned.keys.events(id))?.items.map(({ type }) => type)).toEqual(['pruned', 'created']);
  await expect(pruned.keys.prune({ olderThanDays: -1 })).rejects.toThrow(ApiKeyInputError);
  await pruned.close();
});

describe('list', () => {
  it('can filter by state', async () => {
    const owner = await createUser(database);
    const make = async () => (await keys.create({ userId: owner, name: 'x' })).apiKey.id;
    const [active, expired, disabled, revoked] = [await make(), await make(), await make(), await make()];
    await sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = ${expired}`);
    await keys.disable(disabled);
    await keys.disable(revoked);
    await keys.revoke(revoked);
    const ids = async (state: ApiKeyState) =>
      (await keys.list({ userId: owner, state })).items.map(({ id }) => id);
    const found = await Promise.all(API_KEY_STATES.map(ids));
    expect(found).toEqual([[active], [expired], [disabled], [revoked]]);
    await expect(keys.list({ state: 'gone' as never })).rejects.toThrow(ApiKeyInputError);
  });

  it('is stable under inserts: every existing key is listed once', async () => {
    const owner = await createUser(database);
    const made: string[] = [];
    for (let i = 0; i < 10; i++) made.push((await keys.create({ userId: owner, name: 'x' })).apiKey.id);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await keys.list({ userId: owner, limit: 3, cursor });
      seen.push(...page.items.map(({ id }) => id));
      await keys.create({ userId: owner, name: 'meanwhile' });
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual(made.reverse());
  });
});

it.each(['name', 'scopes', 'metadata'])('an update at the same moment does not lose %s', async (field) => {
  const { apiKey } = await issue({ scopes: ['a'] });
  const changes: Record<string, unknown> = { name: 'n', scopes: ['b'], metadata: { c: 1 } };
  const one = { [field]: changes[field] };
  await Promise.all([keys.update(apiKey.id, one), keys.update(apiKey.id, { expiresAt: inFuture(DAY_MS) })]);
  const after = await keys.get(apiKey.id);
  expect(after).toMatchObject(one);
  expect(after?.expiresAt).not.toBeNull();
});
