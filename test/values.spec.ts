import { ApiKeyInputError, apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { keysDataSource } from './support/data-source';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { bootOn, type Ground, UNCACHED } from './support/ground';

let database: string;
let userId: string;
let ground: Ground;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  ground = await bootOn(database, { options: UNCACHED });
});
afterAll(() => ground.close());

describe('a value that PostgreSQL cannot store', () => {
  it.each([
    ['NUL in a value of metadata', { metadata: { a: '\0' } }],
    ['NUL in a name of metadata', { metadata: { '\0': 1 } }],
    ['half a surrogate pair in metadata', { metadata: { a: '\ud83d' } }],
    ['NUL in the name', { name: 'a\0b' }],
    ['NUL in a scope', { scopes: ['a\0'] as never }],
    ['half a surrogate pair in a scope', { scopes: ['a:\ud83d'] as never }],
    ['NUL in the owner', { userId: '1\0' }],
  ])('is refused as input: %s', async (_, wrong) => {
    await expect(ground.keys.create({ userId, name: 'ci', ...wrong })).rejects.toThrow(ApiKeyInputError);
  });

  it('is refused as input: half a surrogate pair in the name', async () => {
    await expect(ground.keys.create({ userId, name: 'a\ud83d' })).rejects.toThrow(ApiKeyInputError);
  });

  it('does not prevent the creation of a key if it is in the request id', async () => {
    const { apiKey } = await ground.keys.create({ userId, name: 'ci' }, { requestId: 'a\0b\ud83d' });
    const [row] = await sql(database, 'SELECT type FROM api_key_events WHERE key_id = $1', [apiKey.id]);
    expect(row).toEqual({ type: 'created' });
  });

  it('matches no existing key and no existing owner', async () => {
    expect(await ground.keys.get('1\0')).toBeNull();
    expect((await ground.keys.list({ userId: '1\0' }).catch(() => ({ items: [] }))).items).toEqual([]);
    expect(await ground.keys.verify('\0')).toMatchObject({ ok: false });
  });
});

/** A new migrated database with an encoding; its connection string. */
async function createDatabaseIn(encoding: string): Promise<string> {
  const name = `test_${encoding.toLowerCase()}_${process.pid}`;
  const [server, url] = [new URL(database), new URL(database)];
  url.pathname = `/${name}`;
  server.pathname = '/postgres';
  await sql(
    server.href,
    `CREATE DATABASE ${name} ENCODING ${encoding} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
  );
  const migrating = await keysDataSource(url.href, { migrations: apiKeyMigrations() });
  await runMigrations(migrating);
  await migrating.destroy();
  return url.href;
}

it.each([
  'NULL',
  'null',
  '{a,b}',
  '"a"',
  'a\\b',
  "a'b",
  '$1',
  'a"b,c',
])('stores the name %p unchanged', async (name) => {
  const { apiKey } = await ground.keys.create({ userId, name, metadata: { name } });
  expect([apiKey.name, apiKey.metadata]).toEqual([name, { name }]);
});

it('stores a scope called NULL as a scope', async () => {
  const scopes = ['NULL', 'null'] as never[];
  const { key, apiKey } = await ground.keys.create({ userId, name: 'ci', scopes });
  expect(apiKey.scopes).toEqual(scopes);
  expect(await ground.keys.verify(key)).toMatchObject({ ok: true, apiKey: { scopes } });
});

it('ends a key whose name has a character of WIN1252 that UTF-8 lacks, and accepts keys that are looked up with that key', async () => {
  const url = await createDatabaseIn('WIN1252');
  const windows = await bootOn(url, { options: UNCACHED });
  try {
    const { key, apiKey } = await windows.keys.create({ userId: '1', name: 'ci' });
    const other = await windows.keys.create({ userId: '1', name: 'other' });
    await sql(url, `UPDATE api_keys SET name = chr(129) WHERE id = ${apiKey.id}`);
    const together = [key, other.key, 'made up'].map((each) => windows.keys.verify(each));
    expect(await Promise.allSettled(together)).toMatchObject([
      { reason: { code: 'KEY_STORE_UNAVAILABLE' } },
      { value: { ok: true } },
      { value: { ok: false } },
    ]);
    await sql(url, 'UPDATE api_keys SET name = chr(129)');
    expect(await windows.keys.revoke(apiKey.id)).toMatchObject({ apiKey: { id: apiKey.id, name: '' } });
    expect(await windows.keys.revokeAll({ userId: '1' })).toHaveLength(1);
    await expect(windows.keys.list()).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
    expect(await windows.keys.delete(apiKey.id)).toBe(true);
  } finally {
    await windows.close();
  }
});

describe('a database in LATIN1', () => {
  let latin: Ground;
  let owner: string;

  beforeAll(async () => {
    latin = await bootOn(await createDatabaseIn('LATIN1'), { options: UNCACHED });
    owner = '1';
  });
  afterAll(() => latin.close());

  it('stores characters of LATIN1 unchanged', async () => {
    const { key, apiKey } = await latin.keys.create({
      userId: owner,
      name: 'Schlüssel',
      metadata: { ort: 'Zürich' },
    });
    expect(apiKey).toMatchObject({ name: 'Schlüssel', metadata: { ort: 'Zürich' } });
    expect(await latin.keys.verify(key)).toMatchObject({ ok: true, apiKey: { name: 'Schlüssel' } });
  });

  it.each([
    ['name', { name: '鍵' }],
    ['metadata', { metadata: { a: '鍵' } }],
  ])('refuses characters outside LATIN1 with the name of the field: %s', async (field, wrong) => {
    await expect(latin.keys.create({ userId: owner, name: 'ci', ...wrong })).rejects.toThrow(
      new RegExp(`\\b${field}\\b`),
    );
  });
});
