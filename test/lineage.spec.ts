import {
  type Acting,
  type ApiKey,
  ApiKeyConflictError,
  type ApiKeyService,
  type CreateApiKeyInput,
  type IssuedApiKey,
  type UpdateApiKeyInput,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { until } from './support/until';

let database: string;
let app: TestApp;
let other: TestApp;
let keys: ApiKeyService;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  const options = { cache: { leaseMs: 500, heartbeatMs: 100 }, audit: { refused: 'off' } } as const;
  app = await bootApp({ database, options });
  other = await bootApp({ database, options });
  keys = app.keys;
});

afterAll(() => Promise.all([app.close(), other.close()]));

beforeEach(async () => {
  userId = await createUser(database);
});

/** A key, made by another one where that is given. */
const issue = (maker?: IssuedApiKey, fields: object = {}): Promise<IssuedApiKey> =>
  keys.create(
    { userId, name: 'ci', scopes: ['*'], ...fields } as CreateApiKeyInput,
    maker ? { apiKey: maker.apiKey } : {},
  );

async function rotate(issued: IssuedApiKey, acting: Acting = {}): Promise<IssuedApiKey> {
  const successor = await keys.rotate(issued.apiKey.id, {}, acting);
  if (!successor) throw new Error('no such key');
  return successor;
}

const update = (id: string, fields: object, acting: Acting = {}): Promise<ApiKey | null> =>
  keys.update(id, fields as UpdateApiKeyInput, acting);

const idsOf = (issued: readonly IssuedApiKey[]) => issued.map(({ apiKey }) => apiKey.id);
const stateOf = async ({ key }: IssuedApiKey) => {
  const result = await keys.verify(key);
  return result.ok ? 'active' : result.reason;
};
const statesOf = (issued: readonly IssuedApiKey[]) => Promise.all(issued.map(stateOf));

/** A chain of keys, each made by the one before. */
async function chainOf(length: number): Promise<IssuedApiKey[]> {
  const chain = [await issue()];
  while (chain.length < length) chain.push(await issue(chain.at(-1)));
  return chain;
}

describe('the ancestors of a key', () => {
  it('are empty if no key created it', async () => {
    expect((await issue()).apiKey.ancestorIds).toEqual([]);
  });

  it('are its creator and the ancestors of the creator; a successor adds the key that it replaces', async () => {
    const [root, child, grandchild] = (await chainOf(3)) as [IssuedApiKey, IssuedApiKey, IssuedApiKey];
    expect(grandchild.apiKey.ancestorIds).toEqual(idsOf([root, child]));
    const successor = await rotate(grandchild);
    expect(successor.apiKey.ancestorIds).toEqual(idsOf([root, child, grandchild]));
    const ofSuccessor = await issue(successor);
    expect(ofSuccessor.apiKey.ancestorIds).toEqual(idsOf([root, child, grandchild, successor]));
  });

  it('of a successor end with the acting key of the rotation, because that key has seen it', async () => {
    const [manager, worker] = [await issue(), await issue()];
    const successor = await rotate(worker, { apiKey: manager.apiKey });
    expect(successor.apiKey.ancestorIds).toEqual(idsOf([worker, manager]));
    const last = await rotate(successor, { apiKey: worker.apiKey });
    expect(last.apiKey.ancestorIds).toEqual(idsOf([manager, successor, worker]));
  });

  it('are in the audit trail, and so are the descendants that were revoked with them', async () => {
    const [root, child] = (await chainOf(2)) as [IssuedApiKey, IssuedApiKey];
    await keys.revoke(root.apiKey.id, { descendants: true, reason: 'leaked' });
    expect((await keys.events(child.apiKey.id))?.items).toMatchObject([
      { type: 'revoked', details: { reason: 'leaked', ancestorId: root.apiKey.id } },
      { type: 'created', details: { ancestorIds: [root.apiKey.id] } },
    ]);
  });

  it('are at most 32: a key with 32 valid ancestors cannot create a key', async () => {
    const chain = await chainOf(33);
    const last = chain.at(-1) as IssuedApiKey;
    expect(last.apiKey.ancestorIds).toEqual(idsOf(chain.slice(0, 32)));
    await expect(issue(last)).rejects.toThrow(ApiKeyConflictError);
    await keys.revoke((chain[5] as IssuedApiKey).apiKey.id);
    const child = await issue(last);
    expect(child.apiKey.ancestorIds).toEqual(idsOf(chain.filter((_, i) => i !== 5)));
  });

  it('allow endless rotations, and a revocation follows them to the last key', async () => {
    const first = await issue();
    let last = first;
    for (let i = 0; i < 70; i++) last = await rotate(last);
    expect(last.apiKey.ancestorIds).toHaveLength(32);
    expect(last.apiKey.ancestorIds).not.toContain(first.apiKey.id);
    const child = await issue(last);
    const revocation = await keys.revoke(first.apiKey.id, { descendants: true });
    expect(revocation?.descendants).toHaveLength(71);
    expect(await statesOf([last, child])).toEqual(['revoked', 'revoked']);
  });
});

describe('revoke with descendants', () => {
  it('revokes a key and all keys that it created, rotated or had created, and no others', async () => {
    const root = await issue();
    const [child, bystander] = [await issue(root), await issue()];
    const grandchild = await issue(child);
    const successor = await rotate(grandchild);
    const heir = await rotate(root);
    const rotatedByIt = await rotate(await issue(), { apiKey: child.apiKey });
    const lineage = [child, grandchild, successor, heir, rotatedByIt];
    const revocation = await keys.revoke(root.apiKey.id, { descendants: true });
    expect(revocation?.apiKey?.id).toBe(root.apiKey.id);
    expect(revocation?.descendants.map(({ id }) => id).sort()).toEqual(idsOf(lineage).sort());
    expect(revocation?.liveDescendants).toBe(0);
    expect(await statesOf([root, ...lineage])).toEqual(Array(6).fill('revoked'));
    expect(await stateOf(bystander)).toBe('active');
  });

  it('returns how many descendants are still valid if they are not revoked', async () => {
    const [root, , grandchild] = (await chainOf(3)) as [IssuedApiKey, IssuedApiKey, IssuedApiKey];
    await keys.revoke(grandchild.apiKey.id);
    expect(await keys.revoke(root.apiKey.id)).toMatchObject({ descendants: [], liveDescendants: 1 });
    expect(await keys.revoke(root.apiKey.id, { descendants: true })).toMatchObject({
      descendants: [{ ancestorIds: [root.apiKey.id] }],
      liveDescendants: 0,
    });
  });

  it.each<[string, (id: string) => Promise<unknown>]>([
    ['delete', (id) => keys.delete(id)],
    ['SQL', (id) => sql(database, 'DELETE FROM api_keys WHERE id = $1', [id])],
  ])('works after the row of the key was deleted by %s', async (_, remove) => {
    const [root, child] = (await chainOf(2)) as [IssuedApiKey, IssuedApiKey];
    await remove(root.apiKey.id);
    expect(await keys.revoke(root.apiKey.id)).toBeNull();
    expect(await keys.revoke(root.apiKey.id, { descendants: true }, { userId: '0' })).toBeNull();
    expect(await stateOf(child)).toBe('active');
    expect(await keys.revoke(root.apiKey.id, { descendants: true }, { userId })).toMatchObject({
      apiKey: null,
      descendants: [{ id: child.apiKey.id }],
    });
    expect(await stateOf(child)).toBe('revoked');
    expect(await keys.revoke(root.apiKey.id, { descendants: true })).toMatchObject({ descendants: [] });
  });

  it('of another owner waits for no other change, and delays none', async () => {
    const [stranger, foreign] = [await issue(), await createUser(database)];
    await issue(stranger);
    const acting = { apiKey: (await keys.create({ userId: foreign, name: 'ci' })).apiKey };
    const session = new Client({ connectionString: database });
    await session.connect();
    try {
      await session.query('BEGIN');
      await session.query(
        `SELECT pg_advisory_xact_lock(hashtextextended($1, 'api_keys'::regclass::oid::bigint))`,
        [userId],
      );
      expect(await keys.revoke(stranger.apiKey.id, { descendants: true }, acting)).toBeNull();
    } finally {
      await session.end();
    }
    expect(await stateOf(stranger)).toBe('active');
  });

  it('returns null for a key that never existed', async () => {
    expect(await keys.revoke('999999999', { descendants: true })).toBeNull();
  });

  it('follows a key whose owner was changed by hand', async () => {
    const [root, child] = (await chainOf(2)) as [IssuedApiKey, IssuedApiKey];
    await sql(database, 'UPDATE api_keys SET user_id = $1 WHERE id = $2', [
      await createUser(database),
      child.apiKey.id,
    ]);
    await keys.revoke(root.apiKey.id, { descendants: true });
    expect(await stateOf(child)).toBe('revoked');
  });

  it('also revokes keys that are created at the same time, in both instances', async () => {
    const [root, child] = (await chainOf(2)) as [IssuedApiKey, IssuedApiKey];
    const minted: IssuedApiKey[] = [];
    const mint = async (through: TestApp, maker: IssuedApiKey) => {
      for (;;)
        try {
          const acting = { apiKey: maker.apiKey };
          minted.push(
            await through.keys.create({ userId, name: 'x', scopes: ['*'] } as CreateApiKeyInput, acting),
          );
        } catch {
          return;
        }
    };
    const loops = [mint(app, root), mint(other, child), mint(app, child), mint(other, root)];
    await until(() => minted.length > 20);
    await keys.revoke(root.apiKey.id, { descendants: true });
    await Promise.all(loops);
    const alive = await sql(database, 'SELECT id FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL', [
      userId,
    ]);
    expect(alive).toEqual([]);
  });
});

describe('revokeAll', () => {
  it.each<[string, (through: TestApp, maker: IssuedApiKey) => Promise<unknown>]>([
    ['a key', (through, maker) => through.keys.create(minted(), { apiKey: maker.apiKey })],
    ['the application', (through) => through.keys.create(minted())],
  ])('revokes every key of an earlier started loop of creations by %s', async (_, mint) => {
    for (let round = 0; round < 4; round++) {
      const maker = await issue();
      const begun: Promise<unknown>[] = [];
      for (let i = 0; i < 10; i++) begun.push(mint(i % 2 ? app : other, maker).catch(() => {}));
      const before = await Promise.all([keys.revokeAll({ userId }), ...begun]);
      const alive = await sql<{ id: string }>(
        database,
        'SELECT id, created_at FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL',
        [userId],
      );
      const [revoked] = before;
      const after = (await keys.revokeAll({ userId })).map(({ id }) => id);
      expect(after.sort()).toEqual(alive.map(({ id }) => id).sort());
      for (const id of after)
        for (const { id: ended } of revoked) expect(BigInt(id) > BigInt(ended)).toBe(true);
    }
  });

  const minted = () => ({ userId, name: 'x', scopes: ['*'] }) as CreateApiKeyInput;

  it('waits for a creation in flight, and revokes its key', async () => {
    const maker = await issue();
    const session = new Client({ connectionString: database });
    await session.connect();
    await session.query('BEGIN; LOCK TABLE api_key_events');
    const mint = keys.create(minted(), { apiKey: maker.apiKey });
    await untilWaiting(1);
    const revoking = other.keys.revokeAll({ userId, everywhere: true });
    await untilWaiting(2);
    await session.query('COMMIT');
    await session.end();
    const [child, revoked] = await Promise.all([mint, revoking]);
    expect(revoked.map(({ id }) => id)).toEqual(expect.arrayContaining(idsOf([maker, child])));
    expect(await stateOf(child)).toBe('revoked');
  });

  it('refuses a creation that waited for it, even if the revocation was acknowledged everywhere in the meantime', async () => {
    const maker = await issue();
    const session = new Client({ connectionString: database });
    await session.connect();
    await session.query('BEGIN; LOCK TABLE api_key_events');
    const revoking = other.keys.revokeAll({ userId, everywhere: true });
    await untilWaiting(1);
    const mint = keys.create(minted(), { apiKey: maker.apiKey });
    const refused = expect(mint).rejects.toMatchObject({ code: 'INVALID_API_KEY' });
    await untilWaiting(2);
    await session.query('COMMIT');
    await session.end();
    await Promise.all([revoking, refused]);
  });

  it('waits for an import in flight, and revokes the imported keys', async () => {
    const session = new Client({ connectionString: database });
    await session.connect();
    await session.query('BEGIN; LOCK TABLE api_key_events');
    const line = { userId, name: 'x', keyDigest: userId.padStart(64, '0'), keyPrefix: 'key_p' };
    const importing = keys.import([line]);
    await untilWaiting(1);
    const revoking = other.keys.revokeAll({ userId });
    await untilWaiting(2);
    await session.query('COMMIT');
    await session.end();
    expect(await importing).toMatchObject({ imported: 1 });
    expect(await revoking).toHaveLength(1);
  });

  const untilWaiting = (count: number) =>
    until(async () => {
      const rows = await sql(
        database,
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return rows.length >= count;
    });
});

describe('a key that created six thousand keys', () => {
  let root: IssuedApiKey;
  let children: readonly string[];

  beforeEach(async () => {
    root = await issue();
    const rows = await sql<{ id: string }>(
      database,
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, ancestor_ids, created_at, updated_at)
       SELECT user_id, 'x', id || '-' || n, 'x', ARRAY[id], now(), now() FROM api_keys, generate_series(1, 6000) n
       WHERE id = $1 RETURNING id`,
      [root.apiKey.id],
    );
    children = rows.map(({ id }) => String(id));
    await sql(
      database,
      `CREATE OR REPLACE FUNCTION refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         IF (SELECT count(*) FROM changed) > 5000 THEN RAISE EXCEPTION 'statement_timeout would end this'; END IF;
         RETURN NULL;
       END $$`,
    );
    await sql(
      database,
      `CREATE TRIGGER refuse_many AFTER UPDATE ON api_keys REFERENCING NEW TABLE AS changed
       FOR EACH STATEMENT EXECUTE FUNCTION refuse_many()`,
    );
  });

  afterEach(() => sql(database, 'DROP TRIGGER refuse_many ON api_keys'));

  const count = async (condition: string) => {
    const [row] = await sql<{ n: number }>(
      database,
      `SELECT count(*)::int AS n FROM api_keys WHERE id = ANY ($1) AND ${condition}`,
      [children],
    );
    return row?.n;
  };

  it.each<[string, () => Promise<unknown>]>([
    ['its revocation with descendants', () => keys.revoke(root.apiKey.id, { descendants: true })],
    ['a revocation of all keys of its owner', () => keys.revokeAll({ userId })],
  ])('is revoked with all of them in %s, by short statements', async (_, end) => {
    await end();
    expect(await count('revoked_at IS NOT NULL')).toBe(6_000);
    const told = await sql(database, `SELECT FROM api_key_events WHERE type = 'revoked' AND user_id = $1`, [
      userId,
    ]);
    expect(told).toHaveLength(6_001);
  });

  it('shares a limit with them by short statements', async () => {
    await update(root.apiKey.id, { rateLimit: { limit: 5, windowSeconds: 3_600 } });
    expect(await count('shared_limits IS NOT NULL')).toBe(6_000);
  });
});

describe('the limits of a key', () => {
  const rateLimit = { limit: 5, windowSeconds: 3_600 };
  const quota = { limit: 50, period: 'day' };
  const sharesOf = async ({ apiKey }: IssuedApiKey) => (await keys.get(apiKey.id))?.sharedLimits;

  it('are shared by all keys that it creates; a key without limits shares none', async () => {
    const root = await issue(undefined, { rateLimit, quota });
    const child = await issue(root, { quota: { limit: 10, period: 'day' } });
    const grandchild = await issue(child, { rateLimit: { limit: 1, windowSeconds: 3_600 } });
    expect(root.apiKey.sharedLimits).toBeNull();
    expect(child.apiKey.sharedLimits).toEqual([{ id: root.apiKey.id, rateLimit, quota }]);
    expect(grandchild.apiKey.sharedLimits).toEqual([
      { id: root.apiKey.id, rateLimit, quota },
      { id: child.apiKey.id, rateLimit, quota: { limit: 10, period: 'day' } },
    ]);
    expect((await issue(await issue())).apiKey.sharedLimits).toBeNull();
  });

  it('of a successor count in the bucket of the first key that it was rotated from', async () => {
    const root = await issue(undefined, { rateLimit });
    const child = await issue(root);
    const second = await rotate(await rotate(child));
    expect(second.apiKey).toMatchObject({
      bucketId: child.apiKey.id,
      sharedLimits: [{ id: root.apiKey.id, rateLimit, quota: null }],
    });
    const ofSecond = await issue(second);
    expect(ofSecond.apiKey.sharedLimits).toEqual([
      { id: root.apiKey.id, rateLimit, quota: null },
      { id: child.apiKey.id, rateLimit, quota: null },
    ]);
  });

  it('apply to a successor that a limited key created by rotating another key', async () => {
    const [manager, worker] = [
      await issue(undefined, { rateLimit }),
      await issue(undefined, { rateLimit: { limit: 1, windowSeconds: 3_600 } }),
    ];
    const successor = await rotate(worker, { apiKey: manager.apiKey });
    expect(successor.apiKey).toMatchObject({
      bucketId: worker.apiKey.id,
      sharedLimits: [{ id: manager.apiKey.id, rateLimit, quota: null }],
    });
  });

  it('that are set, changed or removed, change for all keys that it created', async () => {
    const root = await issue();
    const [child, stranger] = [await issue(root), await issue()];
    const grandchild = await issue(child, { rateLimit: { limit: 1, windowSeconds: 3_600 } });
    await update(root.apiKey.id, { rateLimit });
    expect(await sharesOf(grandchild)).toEqual([{ id: root.apiKey.id, rateLimit, quota: null }]);
    await update(root.apiKey.id, { quota });
    await update(root.apiKey.id, { rateLimit: null });
    for (const each of [child, grandchild])
      expect(await sharesOf(each)).toEqual([{ id: root.apiKey.id, rateLimit: null, quota }]);
    await update(root.apiKey.id, { quota: null });
    for (const each of [root, child, grandchild, stranger]) expect(await sharesOf(each)).toBeNull();
  });

  it('of a successor that change, also change for keys that its predecessor created', async () => {
    const root = await issue(undefined, { rateLimit });
    const child = await issue(root);
    const heir = await rotate(root);
    const raised = { limit: 7, windowSeconds: 3_600 };
    await update(heir.apiKey.id, { rateLimit: raised });
    expect(await sharesOf(child)).toEqual([{ id: root.apiKey.id, rateLimit: raised, quota: null }]);
    await update(root.apiKey.id, { rateLimit: { limit: 1_000, windowSeconds: 60 } });
    expect(await sharesOf(child)).toEqual([{ id: root.apiKey.id, rateLimit: raised, quota: null }]);
  });

  it('of a key that was rotated for months also change for keys that it created, even if the first rows were deleted', async () => {
    let last = await issue(undefined, { rateLimit });
    const early = await issue(last);
    for (let i = 0; i < 40; i++) {
      const before = last;
      last = await rotate(before);
      await keys.delete(before.apiKey.id);
    }
    const late = await issue(last);
    const stranger = await issue(undefined, { rateLimit });
    const raised = { limit: 7, windowSeconds: 3_600 };
    await update(last.apiKey.id, { rateLimit: raised });
    for (const each of [early, late])
      expect(await sharesOf(each)).toEqual([
        { id: early.apiKey.ancestorIds[0], rateLimit: raised, quota: null },
      ]);
    expect(await sharesOf(stranger)).toBeNull();
  });

  it('are at most 32: a key cannot create, rotate or limit a key that would share more', async () => {
    let last = await issue(undefined, { rateLimit });
    for (let i = 0; i < 32; i++) {
      const child = await issue(last);
      await keys.revoke(last.apiKey.id);
      last = child;
    }
    expect(last.apiKey.sharedLimits).toHaveLength(32);
    await expect(issue(last)).rejects.toThrow(ApiKeyConflictError);
    const other = await issue(undefined, { rateLimit });
    await expect(rotate(other, { apiKey: last.apiKey })).rejects.toThrow(ApiKeyConflictError);
    const successor = await rotate(last, { apiKey: last.apiKey });
    expect(successor.apiKey.sharedLimits).toHaveLength(32);
  });

  it('cannot exceed 32 by being set on the ancestors afterwards', async () => {
    const manager = await issue();
    const chain: IssuedApiKey[] = [await issue(manager)];
    for (let i = 0; i < 33; i++) {
      const maker = chain.at(-1) as IssuedApiKey;
      chain.push(await issue(maker));
      await update(maker.apiKey.id, { expiresAt: new Date(Date.now() + 50) });
      await until(async () => (await stateOf(maker)) === 'expired');
    }
    for (const { apiKey } of chain.slice(0, 32)) await update(apiKey.id, { rateLimit });
    const acting = { apiKey: manager.apiKey };
    const last = chain[32] as IssuedApiKey;
    await expect(update(last.apiKey.id, { rateLimit }, acting)).rejects.toThrow(ApiKeyConflictError);
    expect((await keys.get(last.apiKey.id))?.rateLimit).toBeNull();
  });

  it.each<[string, (id: string) => Promise<unknown>]>([
    ['revoked', (id) => keys.revoke(id)],
    ['deleted', (id) => keys.delete(id)],
  ])('still apply to keys that it created after it is %s', async (_, end) => {
    const root = await issue(undefined, { rateLimit });
    const child = await issue(root);
    await end(root.apiKey.id);
    const grandchild = await issue(child);
    expect(grandchild.apiKey.sharedLimits).toMatchObject([{ id: root.apiKey.id }, { id: child.apiKey.id }]);
  });
});
