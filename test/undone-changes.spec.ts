import type { ApiKeyService } from 'nestjs-api-key';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { bootOn, type Ground, UNCACHED } from './support/ground';

const running: Ground[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) await each.close();
});

/** An application without a cache, on a database of its own. */
async function boot() {
  const database = await createMigratedDatabase();
  const ground = await bootOn(database, { options: UNCACHED });
  running.push(ground);
  return { ...ground, database, userId: await createUser(database) };
}

describe('a change of a key that PostgreSQL leaves undone', () => {
  const KEEP = `CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER keep BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION keep()`;
  const UNDO = KEEP.replace('RETURN NULL', 'RETURN OLD');
  const RULE = 'CREATE RULE keep AS ON UPDATE TO api_keys DO INSTEAD NOTHING';
  const UNAVAILABLE = { code: 'KEY_STORE_UNAVAILABLE', cause: { message: expect.stringMatching(/trigger/) } };

  it.each([
    ['a trigger skips', KEEP],
    ['a trigger undoes', UNDO],
    ['a rule skips', RULE],
  ])('a rotation is an error, and makes no key, if %s the end of the old key', async (_, obstacle) => {
    const { database, userId, keys } = await boot();
    const { key, apiKey } = await keys.create({ userId, name: 'ci' });
    await sql(database, obstacle);
    await expect(keys.rotate(apiKey.id, { overlapSeconds: 0 })).rejects.toMatchObject(UNAVAILABLE);
    expect((await keys.list({ userId })).items).toHaveLength(1);
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('an update is an error if a trigger skips it', async () => {
    const { database, userId, keys } = await boot();
    const { apiKey } = await keys.create({ userId, name: 'ci', scopes: ['a'] as never });
    await sql(database, KEEP);
    await expect(keys.update(apiKey.id, { scopes: [] })).rejects.toMatchObject(UNAVAILABLE);
    expect(await keys.update(apiKey.id, { name: 'ci' })).toMatchObject({ name: 'ci' });
  });

  it.each([
    ['name', { name: 'new' }],
    ['scopes', { scopes: [] }],
    ['expiresAt', { expiresAt: new Date('2040-01-01') }],
    ['rateLimit', { rateLimit: { limit: 1, windowSeconds: 60 } }],
    ['quota', { quota: { limit: 1, period: 'day' } }],
    ['allowedIps', { allowedIps: ['10.0.0.1'] }],
    ['metadata', { metadata: { a: 1 } }],
  ] as const)('an update of %s is an error if a trigger undoes it', async (_, changes) => {
    const { database, userId, keys } = await boot();
    const { apiKey } = await keys.create({ userId, name: 'ci', scopes: ['a'] as never });
    await sql(database, UNDO);
    await expect(keys.update(apiKey.id, changes)).rejects.toMatchObject(UNAVAILABLE);
  });

  it('an update is an error if a trigger undoes one of its fields after the statement', async () => {
    const { database, userId, keys } = await boot();
    const { apiKey } = await keys.create({ userId, name: 'ci', scopes: ['a'] as never });
    await sql(
      database,
      `CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         UPDATE api_keys SET scopes = OLD.scopes WHERE id = NEW.id AND scopes <> OLD.scopes; RETURN NULL; END $$;
       CREATE TRIGGER undo AFTER UPDATE ON api_keys FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION undo()`,
    );
    await expect(keys.update(apiKey.id, { name: 'new', scopes: [] })).rejects.toMatchObject(UNAVAILABLE);
    expect(await keys.get(apiKey.id)).toMatchObject({ name: 'ci' });
  });

  it.each([
    ['skips', KEEP],
    ['undoes', UNDO],
  ])('disabling and enabling a key are errors if a trigger %s them', async (_, obstacle) => {
    const { database, userId, keys } = await boot();
    const [disabled, enabled] = [
      (await keys.create({ userId, name: 'disabled' })).apiKey,
      (await keys.create({ userId, name: 'enabled' })).apiKey,
    ];
    await keys.disable(disabled.id);
    await sql(database, obstacle);
    await expect(keys.disable(enabled.id)).rejects.toMatchObject(UNAVAILABLE);
    await expect(keys.enable(disabled.id)).rejects.toMatchObject(UNAVAILABLE);
    expect(await keys.get(disabled.id)).toMatchObject({ disabledAt: expect.any(Date) });
    expect(await keys.get(enabled.id)).toMatchObject({ disabledAt: null });
  });

  it('an update is an error if a trigger deletes the key afterwards', async () => {
    const { database, userId, keys } = await boot();
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    await sql(
      database,
      `CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM api_keys WHERE id = NEW.id; RETURN NULL; END $$;
       CREATE TRIGGER gone AFTER UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION gone()`,
    );
    await expect(keys.update(apiKey.id, { name: 'new' })).rejects.toMatchObject(UNAVAILABLE);
    expect(await keys.get(apiKey.id)).toMatchObject({ name: 'ci' });
  });

  it('an update returns the values that a trigger of the application sets', async () => {
    const { database, userId, keys } = await boot();
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    await sql(
      database,
      `CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := lower(NEW.name); RETURN NEW; END $$;
       CREATE TRIGGER tidy BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION tidy()`,
    );
    expect(await keys.update(apiKey.id, { name: 'NEW' })).toMatchObject({ name: 'new' });
  });

  it('keys are rotated and updated even if the table keeps times in whole seconds', async () => {
    const { database, userId, keys } = await boot();
    await sql(database, 'ALTER TABLE api_keys ALTER expires_at TYPE timestamptz(0)');
    for (let i = 1; i <= 8; i++) {
      const { apiKey } = await keys.create({ userId, name: 'ci' });
      expect(await keys.rotate(apiKey.id, { overlapSeconds: 60 })).not.toBeNull();
      const expiresAt = new Date(Date.UTC(2040, 0) + i * 120);
      expect(await keys.update(apiKey.id, { expiresAt })).not.toBeNull();
      expect(await keys.update(apiKey.id, { expiresAt })).not.toBeNull();
    }
  });

  const VIEW = `ALTER TABLE api_keys RENAME TO all_keys; CREATE VIEW api_keys AS SELECT * FROM all_keys;
    CREATE FUNCTION pretend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;
    CREATE TRIGGER pretend INSTEAD OF UPDATE OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION pretend()`;

  it.each([
    ['revocation', (keys: ApiKeyService, id: string) => keys.revoke(id)],
    [
      'revocation of all keys',
      (keys: ApiKeyService, _: string, userId: string) => keys.revokeAll({ userId }),
    ],
    ['rotation', (keys: ApiKeyService, id: string) => keys.rotate(id)],
    ['update', (keys: ApiKeyService, id: string) => keys.update(id, { name: 'new' })],
    ['deletion', (keys: ApiKeyService, id: string) => keys.delete(id)],
  ])('a %s is an error if api_keys is a view whose triggers only pretend to make it', async (_, change) => {
    const { database, userId, keys } = await boot();
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    await sql(database, VIEW);
    await expect(change(keys, apiKey.id, userId)).rejects.toMatchObject(UNAVAILABLE);
  });

  it.each([
    ['a rule', 'CREATE RULE keep AS ON DELETE TO api_keys DO INSTEAD NOTHING'],
    ['a trigger', KEEP.replace('BEFORE UPDATE', 'BEFORE DELETE')],
  ])('a removal of ended keys is an error if %s prevents it', async (_, obstacle) => {
    const { database, userId, keys } = await boot();
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    await keys.revoke(apiKey.id);
    await sql(database, `UPDATE api_keys SET revoked_at = now() - interval '99 days'; ${obstacle}`);
    await expect(keys.prune()).rejects.toMatchObject(UNAVAILABLE);
  });

  it('a new limit is an error if a trigger prevents it on keys that share it', async () => {
    const { database, userId, keys } = await boot();
    const rateLimit = (limit: number) => ({ limit, windowSeconds: 60 });
    const { apiKey } = await keys.create({ userId, name: 'ci', rateLimit: rateLimit(9) });
    await keys.create({ userId, name: 'made', rateLimit: rateLimit(9) }, { apiKey });
    await sql(database, KEEP.replace('FOR EACH ROW', `FOR EACH ROW WHEN (OLD.name = 'made')`));
    await expect(keys.update(apiKey.id, { rateLimit: rateLimit(1) })).rejects.toMatchObject(UNAVAILABLE);
  });

  it('an import ends with an error if a trigger skips some of its keys', async () => {
    const { database, userId, keys } = await boot();
    await sql(
      database,
      `CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
       CREATE TRIGGER skip BEFORE INSERT ON api_keys FOR EACH ROW WHEN (NEW.name = 'b') EXECUTE FUNCTION skip()`,
    );
    const lines = ['a', 'b'].map((name) => ({
      userId,
      name,
      keyDigest: name.repeat(64),
      keyPrefix: 'key_',
    }));
    await expect(keys.import(lines)).rejects.toMatchObject(UNAVAILABLE);
    expect(await sql(database, 'SELECT FROM api_keys')).toEqual([]);
  });
});
