import { Controller, Get, UseGuards } from '@nestjs/common';
import { ApiKeyAuthorityError, ApiKeyGuard, ApiKeyInputError, type ApiKeyService } from 'nestjs-api-key';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, sql } from './support/database';
import { until } from './support/until';

const UUID = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11';
let owners: Set<string>;
let app: TestApp;
let database: string;
let keys: ApiKeyService;

@Controller()
@UseGuards(ApiKeyGuard)
class Routes {
  @Get() answer() {}
}

/** An app whose column `user_id` has a type; its owners are those of `owners`. */
async function boot(type: 'uuid' | 'bigint'): Promise<void> {
  database = await createMigratedDatabase();
  await sql(
    database,
    `ALTER TABLE api_keys DROP CONSTRAINT IF EXISTS api_keys_user_id_fkey, ALTER user_id TYPE ${type} USING NULL`,
  );
  owners = new Set([UUID.toLowerCase(), '42']);
  const loadUser = (id: string) => (owners.has(id) ? { id } : null);
  app = await bootApp({
    database,
    controllers: [Routes],
    options: { loadUser, cache: { userCacheMs: 60_000, leaseMs: 60_000 } },
  });
  keys = app.keys;
}
afterEach(() => app.close());

describe.each([
  ['uuid', UUID, UUID.toLowerCase()],
  ['bigint', '0042', '42'],
] as const)('an owner of type %s that is written %s', (type, written, stored) => {
  beforeEach(() => boot(type));

  it('is the same owner in every call of the service', async () => {
    const { apiKey } = await keys.create({ userId: written, name: 'ci' });
    const acting = { userId: written };
    expect(apiKey.userId).toBe(stored);
    expect(await keys.get(apiKey.id, acting)).not.toBeNull();
    expect((await keys.list({}, acting)).items).toHaveLength(1);
    expect((await keys.list({ userId: stored }, acting)).items).toHaveLength(1);
    expect((await keys.list({ userId: written }, { userId: stored })).items).toHaveLength(1);
    expect((await keys.events(apiKey.id, {}, acting))?.items).toHaveLength(1);
    expect(await keys.update(apiKey.id, { name: 'renamed' }, acting)).toMatchObject({ name: 'renamed' });
    expect(await keys.create({ userId: stored, name: 'other' }, acting)).toBeTruthy();
    expect(await keys.rotate(apiKey.id, {}, acting)).toBeTruthy();
    expect(await keys.revoke(apiKey.id, {}, acting)).toBeTruthy();
    expect(await keys.revokeAll({ userId: written }, { userId: stored })).toHaveLength(2);
  });

  it('bounds a principal by its key, also if both are getters', async () => {
    const { apiKey } = await keys.create({ userId: stored, name: 'ci', scopes: ['orders:read'] });
    class Principal {
      get userId() {
        return written;
      }
      get apiKey() {
        return apiKey;
      }
    }
    const more = { userId: stored, name: 'more', scopes: ['orders:write'] as never[] };
    await expect(keys.create(more, new Principal())).rejects.toThrow(ApiKeyAuthorityError);
  });

  it('is an error while the table cannot be read, and not an owner without keys', async () => {
    await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
    await expect(keys.list({ userId: written })).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  });

  it('can act together with its own key', async () => {
    const { apiKey } = await keys.create({ userId: stored, name: 'ci', scopes: ['*'] as never });
    expect(await keys.get(apiKey.id, { userId: written, apiKey })).not.toBeNull();
  });

  it('is loaded again after it is evicted', async () => {
    const { key } = await keys.create({ userId: stored, name: 'ci' });
    const status = async () => (await fetch(`${app.url}/`, { headers: { 'x-api-key': key } })).status;
    await until(async () => (await status()) === 200);
    owners.clear();
    await keys.evictOwner(written);
    expect(await status()).toBe(401);
  });
});

describe('a bigint of the application', () => {
  beforeEach(() => boot('bigint'));

  it.each([
    ['a BigInt', (id: string) => BigInt(id)],
    ['a number', Number],
  ])('means the same owner and key as %s', async (_, given) => {
    const { apiKey } = await keys.create({ userId: given('42') as never, name: 'ci' });
    expect(apiKey.userId).toBe('42');
    const id = given(apiKey.id) as never;
    expect(await keys.get(id)).toMatchObject({ id: apiKey.id });
    expect((await keys.list({ userId: given('42') as never })).items).toHaveLength(1);
    expect(await keys.revoke(id)).toMatchObject({ apiKey: { id: apiKey.id } });
  });

  it('is refused as a number that is no longer exact', async () => {
    const inexact = Number('9007199254740993') as never;
    await expect(keys.revoke(inexact)).rejects.toThrow(ApiKeyInputError);
    await expect(keys.create({ userId: inexact, name: 'ci' })).rejects.toThrow(ApiKeyInputError);
  });
});

describe('the last expiry', () => {
  beforeEach(() => boot('bigint'));
  const LAST = new Date('9999-12-31T23:59:59.999Z');

  it('is the latest expiry that a rotation gives', async () => {
    const { apiKey } = await keys.create({ userId: '42', name: 'ci', expiresAt: LAST });
    const rotated = await keys.rotate(apiKey.id);
    expect(rotated?.apiKey.expiresAt).toEqual(LAST);
  });

  it.each(['create', 'update', 'rotate'] as const)('limits the expiry that %s gets', async (does) => {
    const { apiKey } = await keys.create({ userId: '42', name: 'ci' });
    for (const expiresAt of [new Date(LAST.getTime() + 1), new Date(8.64e15)]) {
      const acts = {
        create: () => keys.create({ userId: '42', name: 'ci', expiresAt }),
        update: () => keys.update(apiKey.id, { expiresAt }),
        rotate: () => keys.rotate(apiKey.id, { expiresAt }),
      };
      await expect(acts[does]()).rejects.toThrow('up to 9999-12-31T23:59:59.999Z');
    }
  });

  it('limits the successor of a key whose expiry in the table is later', async () => {
    const { apiKey } = await keys.create({ userId: '42', name: 'ci', expiresAt: LAST });
    await sql(database, `UPDATE api_keys SET expires_at = '20000-01-01', created_at = 'infinity'`);
    expect((await keys.rotate(apiKey.id))?.apiKey.expiresAt?.getTime()).toBeLessThanOrEqual(LAST.getTime());
  });
});
