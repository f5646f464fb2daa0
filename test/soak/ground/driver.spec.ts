import { Controller, Get } from '@nestjs/common';
import { type ApiKey, ApiKeyAuth } from 'nestjs-api-key';
import { Client, defaults, Query, types } from 'pg';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { bootOn, type Ground, statusOf, UNCACHED } from '../../support/ground';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

let database: string;
let userId: string;
let ground: Ground;

beforeAll(async () => {
  database = await createMigratedDatabase();
});

beforeEach(async () => {
  userId = await createUser(database);
});

const options = { ...UNCACHED, rateLimit: {} };
const create = (fields: object = {}, apiKey?: ApiKey) =>
  ground.keys.create({ userId, name: 'ci', ...fields } as never, apiKey && { apiKey });
const accepts = async (key: string) => (await ground.keys.verify(key)).ok;

/** PostgreSQL's numbers of types. */
const OID = {
  bool: 16,
  int8: 20,
  int4: 23,
  float8: 701,
  cidrs: 651,
  texts: 1009,
  int8s: 1016,
  timestamptz: 1184,
  jsonb: 3802,
};

/**
 * Gives types to the application's own parsers while a test runs, for the whole process as `pg`
 * does.
 */
async function parsing<T>(
  parsers: Partial<Record<keyof typeof OID, (text: string) => unknown>>,
  work: () => Promise<T>,
) {
  const before = new Map<number, (text: string) => unknown>();
  for (const [name, parser] of Object.entries(parsers)) {
    const oid = OID[name as keyof typeof OID];
    before.set(oid, types.getTypeParser(oid, 'text'));
    types.setTypeParser(oid as never, parser as never);
  }
  try {
    return await work();
  } finally {
    for (const [oid, parser] of before) types.setTypeParser(oid as never, parser as never);
  }
}

const asText = (text: string) => text;

/** More statements than any change needs: after so many, a change that would never end fails. */
const TOO_MANY = 200;

/** Runs with a `Client.query` that fails after too many statements. */
async function bounded<T>(work: () => Promise<T>): Promise<T> {
  const { query } = Client.prototype;
  let count = 0;
  const counting = function (this: Client, ...given: unknown[]) {
    if (++count > TOO_MANY) throw new Error(`more than ${TOO_MANY} statements`);
    return Reflect.apply(query as never, this, given);
  };
  Client.prototype.query = counting as never;
  try {
    return await work();
  } finally {
    Client.prototype.query = query;
  }
}

describe('an application with its own type parsers', () => {
  beforeAll(async () => {
    ground = await bootOn(database, { controllers: [Routes], options });
  });
  afterAll(() => ground.close());

  it.each([
    ['BigInt', (text: string) => text.slice(1, -1).split(',').filter(Boolean).map(BigInt)],
    ['text', asText],
  ])('revokes the keys that a key created through another key if bigint[] is given as %s', async (_, int8s) => {
    const [root, child, grandchild] = await parsing({ int8s }, async () => {
      const first = await create();
      const second = await create({}, first.apiKey);
      return [first, second, await create({}, second.apiKey)] as const;
    });
    await ground.keys.revoke(root.apiKey.id, { descendants: true });
    expect(await accepts(child.key)).toBe(false);
    expect(await accepts(grandchild.key)).toBe(false);
  });

  it.each([
    ['text', asText],
    ['BigInt', BigInt],
  ])('lets no key rotate a key with a wider limit if integers are given as %s', async (_, int4) => {
    const narrow = await create({ rateLimit: { limit: 9, windowSeconds: 60 } });
    const wide = await create({ rateLimit: { limit: 100, windowSeconds: 60 } });
    await parsing({ int4 }, () =>
      expect(ground.keys.rotate(wide.apiKey.id, {}, { apiKey: narrow.apiKey })).rejects.toMatchObject({
        name: 'ApiKeyAuthorityError',
      }),
    );
  });

  it.each([['text', asText]])('applies the limit of the key if integers are given as %s', async (_, int4) => {
    const { key } = await create({ rateLimit: { limit: 2, windowSeconds: 3_600 } });
    const statuses: number[] = [];
    await parsing({ int4 }, async () => {
      for (let i = 0; i < 4; i++) statuses.push(await statusOf(ground.url, key));
    });
    expect(statuses).toEqual([200, 200, 429, 429]);
  });

  it.each([
    ['BigInt', BigInt],
  ])('applies the limit of the key if integers are given as %s', async (_, int4) => {
    const { key } = await create({ rateLimit: { limit: 2, windowSeconds: 3_600 } });
    const statuses: number[] = [];
    await parsing({ int4 }, async () => {
      for (let i = 0; i < 4; i++) statuses.push(await statusOf(ground.url, key));
    });
    expect(statuses).toEqual([200, 200, 429, 429]);
  });

  it.each([
    ['text', asText],
    [
      'objects with BigInt',
      (text: string) => JSON.parse(text, (_, value) => (Number.isInteger(value) ? BigInt(value) : value)),
    ],
  ])('limits the keys that a limited key created if jsonb is given as %s', async (_, jsonb) => {
    const maker = await create({ rateLimit: { limit: 2, windowSeconds: 3_600 } });
    const { key } = await create({ rateLimit: { limit: 2, windowSeconds: 3_600 } }, maker.apiKey);
    const statuses: number[] = [];
    await parsing({ jsonb }, async () => {
      for (let i = 0; i < 3; i++) statuses.push(await statusOf(ground.url, key));
    });
    expect(statuses).toEqual([200, 200, 429]);
  });

  it('reads the scopes of a key if text[] is given as text', async () => {
    const { key } = await create({ scopes: ['orders:read'] });
    await parsing({ texts: asText }, async () =>
      expect(await ground.keys.verify(key)).toMatchObject({ ok: true, apiKey: { scopes: ['orders:read'] } }),
    );
  });

  it('reads the addresses of a key if cidr[] is given as text', async () => {
    const { key } = await create({ allowedIps: ['127.0.0.0/8'] });
    const { key: foreign } = await create({ allowedIps: ['10.0.0.0/8'] });
    await parsing({ cidrs: asText }, async () =>
      expect([await statusOf(ground.url, key), await statusOf(ground.url, foreign)]).toEqual([200, 403]),
    );
  });

  it.each([
    ['numbers', (text: string) => (text === 't' ? 1 : 0)],
  ])('lets a key change another key if booleans are given as %s', async (_, bool) => {
    const { apiKey } = await create();
    const other = await create();
    await parsing({ bool }, async () => {
      const changed = await ground.keys.update(other.apiKey.id, { name: 'new' }, { apiKey });
      expect(changed).toMatchObject({ name: 'new' });
    });
  });

  it.each([
    ['text', asText],
  ])('lets a key change another key if booleans are given as %s', async (_, bool) => {
    const { apiKey } = await create();
    const other = await create();
    await parsing({ bool }, async () => {
      const changed = await ground.keys.update(other.apiKey.id, { name: 'new' }, { apiKey });
      expect(changed).toMatchObject({ name: 'new' });
    });
  });

  it('revokes a key whose owner id is too large for a number if bigint is given as number', async () => {
    const owner = '9007199254740993';
    await sql(
      database,
      `INSERT INTO users (id, email, created_at, updated_at) VALUES ($1, 'far@example.com', now(), now())`,
      [owner],
    );
    const { key, apiKey } = await create({ userId: owner });
    await parsing({ int8: Number }, () => bounded(() => ground.keys.revoke(apiKey.id)));
    expect(await accepts(key)).toBe(false);
  });

  it('stores the given expiry of a key if pg writes dates in UTC', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000);
    defaults.parseInputDatesAsUTC = true;
    try {
      const { apiKey } = await create({ expiresAt });
      expect(apiKey.expiresAt).toEqual(expiresAt);
      const [row] = await sql(
        database,
        'SELECT expires_at = $2::timestamptz AS same FROM api_keys WHERE id = $1',
        [apiKey.id, expiresAt.toISOString()],
      );
      expect(row).toEqual({ same: true });
    } finally {
      defaults.parseInputDatesAsUTC = false;
    }
  });

  it('refuses a key at its expiry if double precision is given as text', async () => {
    const { key } = await create({ expiresAt: new Date(Date.now() + 3_600_000) });
    await parsing({ float8: asText }, async () => expect(await accepts(key)).toBe(true));
  });
});

describe('an application that asks pg for binary results', () => {
  beforeAll(async () => {
    ground = await bootOn(database, { controllers: [Routes], options, typeorm: { extra: { binary: true } } });
  });
  afterAll(() => ground.close());

  it('reads owner, scopes, addresses, limits and expiry of a key if pg gives binary results', async () => {
    const fields = {
      scopes: ['orders:read'],
      expiresAt: new Date(Date.now() + 3_600_000),
      allowedIps: ['127.0.0.0/8'],
      rateLimit: { limit: 1_000, windowSeconds: 60 },
      metadata: { team: 'a' },
    };
    const { key, apiKey } = await create(fields);
    const known = { id: apiKey.id, userId, ...fields, rateLimit: 1_000, rateLimitWindowSeconds: 60 };
    expect(await ground.keys.verify(key)).toMatchObject({ ok: true, apiKey: known });
    expect(await ground.keys.get(apiKey.id)).toMatchObject(known);
    expect(await statusOf(ground.url, key)).toBe(200);
  });

  it('refuses a key from a foreign address if pg gives binary results', async () => {
    const { key } = await create({ allowedIps: ['10.0.0.0/8'] });
    expect(await statusOf(ground.url, key)).toBe(403);
  });

  it('revokes a key with all keys that it created if pg gives binary results', async () => {
    const first = await create();
    const second = await create({}, first.apiKey);
    const third = await create({}, second.apiKey);
    await ground.keys.revoke(first.apiKey.id, { descendants: true });
    expect([await accepts(first.key), await accepts(second.key), await accepts(third.key)]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe('an application that has pg rename columns', () => {
  type Renamed = { handleRowDescription(message: { fields: { name: string }[] }): void };
  const { prototype } = Query as unknown as { prototype: Renamed };
  const { handleRowDescription } = prototype;

  beforeAll(async () => {
    ground = await bootOn(database, { controllers: [Routes], options });
    prototype.handleRowDescription = function (message) {
      for (const field of message.fields)
        field.name = field.name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
      return handleRowDescription.call(this, message);
    };
  });
  afterAll(async () => {
    prototype.handleRowDescription = handleRowDescription;
    await ground.close();
  });

  it('refuses to read keys if pg renames columns, and treats no missing column as null', async () => {
    await expect(create()).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    await expect(ground.keys.list()).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  });
});
