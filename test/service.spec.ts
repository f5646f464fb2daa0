import { inspect } from 'node:util';
import {
  ApiKeyInputError,
  type ApiKeyService,
  type IssuedApiKey,
  type ListApiKeysInput,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';

const DAY_MS = 86_400_000;

let database: string;
let app: TestApp;
let keys: ApiKeyService;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  app = await bootApp({
    database,
    options: { prefix: 'acme_live', scopes: { 'orders:read': 'Read' } as never },
  });
  keys = app.keys;
});

afterAll(() => app.close());

const create = (name = 'ci') => keys.create({ userId, name, scopes: ['orders:read'] });

describe('a created key', () => {
  it('is returned once, and stored only as its digest', async () => {
    const { key, apiKey } = await create();
    const [row] = await sql(
      database,
      `SELECT * FROM api_keys WHERE key_digest = encode(sha256('${key}'), 'hex')`,
    );
    expect(row).toMatchObject({ id: apiKey.id, name: 'ci', key_suffix: key.slice(-4) });
    expect(JSON.stringify(row)).not.toContain(key.slice(-12));
    expect(JSON.stringify(apiKey)).not.toContain(key.slice(-12));
    expect(apiKey.keyDigest).toBeUndefined();
  });

  it('is masked with its constant part, four random characters and the last four', async () => {
    const { key, apiKey } = await create();
    expect(apiKey.masked).toBe(`${key.slice(0, 'acme_live_'.length + 4)}...${key.slice(-4)}`);
  });

  it('is verified, and has the fields that it was created with', async () => {
    const expiresAt = new Date(Date.now() + DAY_MS);
    const { key } = await keys.create({ userId, name: 'until tomorrow', scopes: ['orders:read'], expiresAt });
    const result = await keys.verify(key);
    expect(result).toMatchObject({
      ok: true,
      apiKey: { userId, name: 'until tomorrow', scopes: ['orders:read'], expiresAt },
    });
  });

  it.each([
    ['an empty name', { name: '' }],
    ['a blank name', { name: '   ' }],
    ['a name of 256 characters', { name: 'x'.repeat(256) }],
    ['a name with a line break', { name: 'a\nb' }],
    ['a name that is not text', { name: { toString: () => 'x' } as unknown as string }],
    ['an owner that does not exist', { userId: '999999' }],
    ['an owner that cannot exist', { userId: 'x' }],
    ['an owner beyond the column', { userId: '99999999999999999999' }],
    ['no owner', { userId: undefined as unknown as string }],
    ['a scope outside the catalogue', { scopes: ['orders:write' as const] }],
    ['a wildcard over nothing in the catalogue', { scopes: ['api-keys:*' as const] }],
    ['scopes that are not a list', { scopes: 'orders:read' as never }],
    ['101 scopes', { scopes: Array.from({ length: 101 }, () => 'orders:read' as const) }],
    ['an expiry in the past', { expiresAt: new Date(Date.now() - 1_000) }],
    ['an expiry that is not a date', { expiresAt: new Date('x') }],
  ])('is refused for %s, and nothing is stored', async (_, wrong) => {
    const before = await sql(database, 'SELECT count(*) FROM api_keys');
    await expect(keys.create({ userId, name: 'ci', ...wrong })).rejects.toThrow(ApiKeyInputError);
    expect(await sql(database, 'SELECT count(*) FROM api_keys')).toEqual(before);
  });

  it('may hold a wildcard over the catalogue', async () => {
    const { apiKey } = await keys.create({ userId, name: 'wild', scopes: ['orders:*'] });
    expect([
      apiKey.hasScope('orders:read'),
      apiKey.hasScope('orders'),
      apiKey.hasScope('api-keys:read'),
    ]).toEqual([true, false, false]);
  });
});

describe('verify returns the exact reason', () => {
  it('malformed, for a wrong checksum', async () => {
    const { key } = await create();
    const last = key.endsWith('0') ? '1' : '0';
    expect(await keys.verify(key.slice(0, -1) + last)).toEqual({ ok: false, reason: 'malformed' });
  });

  it('unknown, for a well-formed key that was never issued', async () => {
    const { key, apiKey } = await create();
    await keys.delete(apiKey.id);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'unknown' });
  });

  it('expired, from the moment of expiry on, by the clock of the database', async () => {
    const { key, apiKey } = await create();
    await sql(database, 'UPDATE api_keys SET expires_at = clock_timestamp() WHERE id = $1', [apiKey.id]);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'expired' });
  });

  it('revoked, at once', async () => {
    const { key, apiKey } = await create();
    expect(await keys.verify(key)).toMatchObject({ ok: true });
    await keys.revoke(apiKey.id);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'revoked' });
  });
});

it('a key whose times exceed the range of Date is verified, and has the latest date instead', async () => {
  const { key, apiKey } = await create();
  await sql(database, `UPDATE api_keys SET created_at = 'infinity', updated_at = 'infinity' WHERE id = $1`, [
    apiKey.id,
  ]);
  const result = await keys.verify(key);
  expect(result).toMatchObject({ ok: true });
  const { createdAt, updatedAt } = (result as { apiKey: typeof apiKey }).apiKey;
  expect([createdAt.getTime(), updatedAt.getTime()]).toEqual([8.64e15, 8.64e15]);
});

describe('a value that is not a key never authenticates:', () => {
  it.each([
    ['undefined', undefined],
    ['null', null],
    ['an empty text', ''],
    ['a blank', '  '],
    ['a number', 7],
    ['true', true],
    ['an object', {}],
    ['an operator object', { $ne: null }],
    ['an empty array', []],
    ['an array', ['x']],
  ])('%s', async (_, junk) => {
    await create();
    expect(await keys.verify(junk)).toEqual({ ok: false, reason: 'malformed' });
    expect(await keys.authenticate(junk)).toBeNull();
  });

  it('an array or an object that turns into a valid key as text', async () => {
    const { key } = await create();
    expect(await keys.authenticate([key])).toBeNull();
    expect(await keys.authenticate({ toString: () => key })).toBeNull();
  });
});

it('a trigger of the application that suppresses the INSERT of a key is named in the error, and no key is returned', async () => {
  await sql(
    database,
    `CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
     CREATE TRIGGER swallow BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION swallow()`,
  );
  try {
    await expect(create()).rejects.toMatchObject({
      code: 'KEY_STORE_UNAVAILABLE',
      cause: { message: expect.stringContaining('a trigger on api_keys suppressed it') },
    });
  } finally {
    await sql(database, 'DROP TRIGGER swallow ON api_keys; DROP FUNCTION swallow()');
  }
});

it('the digest of a key, as in a dump of the table, is not accepted as a key', async () => {
  const app = await bootApp({ database, options: { format: 'hex' } });
  try {
    const { key, apiKey } = await app.keys.create({ userId, name: 'ci' });
    const [row] = await sql<{ key_digest: string }>(
      database,
      'SELECT key_digest FROM api_keys WHERE id = $1',
      [apiKey.id],
    );
    expect(await app.keys.verify(key)).toMatchObject({ ok: true });
    expect(await app.keys.verify(row?.key_digest)).toEqual({ ok: false, reason: 'unknown' });
  } finally {
    await app.close();
  }
});

it('no database error contains a digest', async () => {
  const { key } = await create();
  await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
  const errors = await Promise.all(
    [keys.verify(key), create()].map((call) => call.catch((error: unknown) => error)),
  );
  await sql(database, 'ALTER TABLE elsewhere RENAME TO api_keys');
  for (const error of errors) {
    expect(error).toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    expect(inspect(error, { depth: 9 }) + JSON.stringify(error)).not.toMatch(/[0-9a-f]{64}/);
  }
});

it('each call throws KEY_STORE_UNAVAILABLE if the database is unreachable, and does not return an empty result', async () => {
  const { key, apiKey } = await create();
  await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
  const calls = [
    keys.verify(key),
    keys.get(apiKey.id),
    keys.list(),
    keys.update(apiKey.id, { name: 'x' }),
    keys.rotate(apiKey.id),
    keys.revoke(apiKey.id),
    keys.revokeAll({ userId }),
    keys.delete(apiKey.id),
    keys.prune(),
    keys.usage(apiKey.id),
  ];
  const outcomes = await Promise.allSettled(calls);
  await sql(database, 'ALTER TABLE elsewhere RENAME TO api_keys');
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'KEY_STORE_UNAVAILABLE' } });
});

describe('authenticate, as in Rails', () => {
  it('returns the row of a valid key, and null for any other', async () => {
    const { key, apiKey } = await create();
    expect(await keys.authenticate(key)).toMatchObject({ id: apiKey.id, userId });
    await keys.revoke(apiKey.id);
    expect(await keys.authenticate(key)).toBeNull();
  });
});

describe('get, revoke and delete', () => {
  it.each([
    '0',
    '-1',
    '01',
    '1.5',
    '1e3',
    'x',
    '',
    ' 1',
    '9223372036854775808',
    '99999999999999999999999',
  ])('find no key for the id %j', async (id) => {
    expect([await keys.get(id), await keys.revoke(id), await keys.delete(id)]).toEqual([null, null, false]);
  });

  it('find no key for an id that is a list or an object', async () => {
    const { apiKey } = await create();
    for (const id of [[apiKey.id], { id: apiKey.id }, null] as unknown as string[])
      expect([await keys.get(id), await keys.revoke(id), await keys.delete(id)]).toEqual([null, null, false]);
  });

  it('find a key by its id as a number or BigInt, as some drivers return it', async () => {
    const { apiKey } = await create();
    const [number, bigint] = [Number(apiKey.id), BigInt(apiKey.id)] as unknown as [string, string];
    expect([await keys.get(number), await keys.get(bigint)]).toEqual([apiKey, apiKey]);
    expect([await keys.revoke(number), await keys.delete(bigint)]).toMatchObject([
      { apiKey: { id: apiKey.id } },
      true,
    ]);
  });

  it('revoke also expires the key, for a Rails app on the table, and a second time changes nothing', async () => {
    const { apiKey } = await create();
    const revoked = await keys.revoke(apiKey.id);
    expect(revoked?.apiKey?.expiresAt).toEqual(revoked?.apiKey?.revokedAt);
    expect(await keys.revoke(apiKey.id)).toEqual(revoked);
  });

  it('revoke returns an already revoked key, even if its row is locked', async () => {
    const { apiKey } = await create();
    const revoked = await keys.revoke(apiKey.id);
    await sql(
      database,
      `ALTER ROLE postgres IN DATABASE "${new URL(database).pathname.slice(1)}" SET lock_timeout = 100`,
    );
    const impatient = await bootApp({ database });
    const holder = new Client({ connectionString: database });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [apiKey.id]);
    try {
      expect(await impatient.keys.revoke(apiKey.id)).toEqual(revoked);
    } finally {
      await holder.end();
      await impatient.close();
      await sql(
        database,
        `ALTER ROLE postgres IN DATABASE "${new URL(database).pathname.slice(1)}" RESET lock_timeout`,
      );
    }
  });

  it.each([undefined, '', ' ', 7.5])('revokeAll is refused for the invalid owner %p', async (owner) => {
    await expect(keys.revokeAll({ userId: owner as string })).rejects.toThrow(
      new ApiKeyInputError(['userId must name the owner of the keys']),
    );
  });

  it.each(['', 'a\nb', 'x'.repeat(256), 7])('revoke for the reason %p is refused', async (reason) => {
    const { key, apiKey } = await create();
    await expect(keys.revoke(apiKey.id, { reason: reason as string })).rejects.toThrow('reason must have');
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('revoke keeps an expiry in the past', async () => {
    const { apiKey } = await create();
    await sql(database, `UPDATE api_keys SET expires_at = '2020-01-01T00:00:00Z' WHERE id = $1`, [apiKey.id]);
    expect((await keys.revoke(apiKey.id))?.apiKey?.expiresAt).toEqual(new Date('2020-01-01T00:00:00Z'));
  });

  it('an expired key can be renamed and revoked, and its end cannot be moved into the past', async () => {
    const { key, apiKey } = await create();
    const expire = `UPDATE api_keys SET expires_at = now() - interval '1 day' WHERE id = $1 RETURNING expires_at`;
    const [row] = await sql(database, expire, [apiKey.id]);
    const renamed = await keys.update(apiKey.id, { name: 'old', metadata: { team: 'a' } });
    expect(renamed).toMatchObject({ name: 'old', metadata: { team: 'a' }, expiresAt: row?.expires_at });
    await expect(keys.update(apiKey.id, { expiresAt: new Date(0) })).rejects.toThrow(
      /expiresAt must be a date in the future/,
    );
    expect(await keys.verify(key)).toMatchObject({ ok: false, reason: 'expired' });
    expect(await keys.revoke(apiKey.id)).toMatchObject({ apiKey: { revokedAt: expect.any(Date) } });
  });

  it('delete removes the row', async () => {
    const { apiKey } = await create();
    expect(await keys.delete(apiKey.id)).toBe(true);
    expect([await keys.get(apiKey.id), await keys.delete(apiKey.id)]).toEqual([null, false]);
  });
});

describe('list', () => {
  it('returns pages of one owner, newest first, every key once', async () => {
    const owner = await createUser(database);
    const ids: string[] = [];
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      ids.unshift((await keys.create({ userId: owner, name })).apiKey.id);
    const first = await keys.list({ userId: owner, limit: 2 });
    const second = await keys.list({ userId: owner, limit: 2, cursor: first.nextCursor });
    const third = await keys.list({ userId: owner, limit: 2, cursor: second.nextCursor });
    expect([...first.items, ...second.items, ...third.items].map(({ id }) => id)).toEqual(ids);
    expect(third.nextCursor).toBeNull();
  });

  describe('with search', () => {
    let owner: string;
    let made: IssuedApiKey[];

    beforeAll(async () => {
      owner = await createUser(database);
      made = [];
      for (const [name, metadata] of [
        ['Nightly export', { team: { name: 'billing' }, tags: ['a', 'b'] }],
        ['weekly_export 100%', { team: { name: 'sales' } }],
        ['ÄRZTE', {}],
      ] as const)
        made.push(await keys.create({ userId: owner, name, metadata }));
    });

    const namesOf = async (input: ListApiKeysInput) =>
      (await keys.list({ userId: owner, ...input })).items.map(({ name }) => name);

    it.each([
      ['EXPORT', ['weekly_export 100%', 'Nightly export']],
      ['ÄRZ', ['ÄRZTE']],
      ['%', ['weekly_export 100%']],
      ['_', ['weekly_export 100%']],
      ['t  ', []],
      ["'; DROP TABLE api_keys; --", []],
      ['...', []],
      ['\\', []],
    ])('finds keys by a part of the name in any case, and no wildcard: %s', async (search, names) => {
      expect(await namesOf({ search })).toEqual(names);
    });

    it('finds a key by its visible start and by its masked form', async () => {
      for (const { apiKey } of made) {
        const { keyPrefix, keySuffix, masked, name } = apiKey;
        expect(await namesOf({ search: keyPrefix })).toEqual([name]);
        expect(await namesOf({ search: masked })).toEqual([name]);
        expect(await namesOf({ search: `${keyPrefix}...` })).toEqual([name]);
        expect(await namesOf({ search: `${keyPrefix}...!${keySuffix?.slice(1)}` })).toEqual([]);
      }
    });

    it('finds no key by a raw key, which belongs into inspect', async () => {
      for (const { key } of made) expect(await namesOf({ search: key })).toEqual([]);
    });

    it.each<[Record<string, unknown>, string[]]>([
      [{ team: { name: 'billing' } }, ['Nightly export']],
      [{ tags: ['b'] }, ['Nightly export']],
      [{ team: {} }, ['weekly_export 100%', 'Nightly export']],
      [{ team: { name: 'none' } }, []],
      [{}, ['ÄRZTE', 'weekly_export 100%', 'Nightly export']],
    ])('finds keys whose metadata contains %j', async (metadata, names) => {
      expect(await namesOf({ metadata })).toEqual(names);
    });

    it('narrows by owner, state and search together, over pages', async () => {
      await keys.create({ userId: await createUser(database), name: 'Export of another owner' });
      const first = await keys.list({ userId: owner, search: 'export', state: 'active', limit: 1 });
      const second = await keys.list({ userId: owner, search: 'export', limit: 1, cursor: first.nextCursor });
      expect([...first.items, ...second.items].map(({ id }) => id)).toEqual([
        made[1]?.apiKey.id,
        made[0]?.apiKey.id,
      ]);
      expect(second.nextCursor).toBeNull();
      expect(await namesOf({ search: 'export', state: 'revoked' })).toEqual([]);
      const { items } = await keys.list({ search: 'of another' });
      expect(items.map(({ name }) => name)).toEqual(['Export of another owner']);
    });
  });

  it('returns no keys for an impossible owner', async () => {
    expect(await keys.list({ userId: 'x' })).toEqual({ items: [], nextCursor: null });
    expect(await keys.list({ userId: '99999999999999999999' })).toEqual({ items: [], nextCursor: null });
  });

  it.each([
    ['an owner given as undefined, which must not mean all', { userId: undefined }],
    ['a limit of 0', { limit: 0 }],
    ['a limit of 101', { limit: 101 }],
    ['an invalid cursor', { cursor: '1 OR 1=1' }],
    ['an empty search', { search: '' }],
    ['a search with NUL', { search: 'a\0' }],
    ['a search that is no text', { search: 7 as never }],
    ['metadata that are no object', { metadata: [] as never }],
    ['metadata with NUL', { metadata: { a: '\0' } }],
  ])('refuses %s', async (_, input) => {
    await expect(keys.list(input)).rejects.toThrow(ApiKeyInputError);
  });

  it('never returns a digest', async () => {
    await create();
    const { items } = await keys.list();
    expect(items.some((item) => item.keyDigest !== undefined)).toBe(false);
  });
});

describe('an invalid value is reported as invalid input, and not as an unavailable key store', () => {
  it.each<[string, () => Promise<unknown>]>([
    ['create() without an input', () => keys.create(undefined as never)],
    ['create(null)', () => keys.create(null as never)],
    ['create() for an owner with a NUL', () => keys.create({ userId: '1\0', name: 'ci' })],
    ['create() for an owner with spaces around', () => keys.create({ userId: ` ${userId} `, name: 'ci' })],
    ['create() with a hole in its scopes', () => keys.create({ userId, name: 'ci', scopes: new Array(1) })],
    ['list(null)', () => keys.list(null as never)],
    ['list() of an inherited undefined owner', () => keys.list(Object.create({ userId: undefined }))],
  ])('%s', async (_, call) => {
    await expect(call()).rejects.toThrow(ApiKeyInputError);
  });

  it('list() of an owner with a NUL finds none', async () => {
    expect(await keys.list({ userId: '1\0' })).toEqual({ items: [], nextCursor: null });
  });

  it('a key that breaks a CHECK of the application', async () => {
    await sql(database, `ALTER TABLE api_keys ADD CONSTRAINT no_tests CHECK (name <> 'test')`);
    await expect(create('test')).rejects.toThrow(
      new ApiKeyInputError(['the key violates a constraint of table api_keys']),
    );
  });
});
