import {
  type Acting,
  type ApiKey,
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  ApiKeyRefusal,
  type ApiKeyService,
  type CreateApiKeyInput,
  type IssuedApiKey,
  type UpdateApiKeyInput,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { until } from './support/until';

const HOUR_MS = 3_600_000;
const MANAGES = ['api-keys:write', 'orders:read', 'orders:write'];

let database: string;
let app: TestApp;
let other: TestApp;
let keys: ApiKeyService;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  const options = { rateLimit: { limit: 100 }, audit: { refused: 'off' } } as const;
  app = await bootApp({ database, options });
  other = await bootApp({ database, options });
  keys = app.keys;
});

afterAll(() => Promise.all([app.close(), other.close()]));

beforeEach(async () => {
  userId = await createUser(database);
});

const issue = (fields: object = {}, acting: Acting = {}): Promise<IssuedApiKey> =>
  keys.create({ userId, name: 'ci', scopes: MANAGES, ...fields } as CreateApiKeyInput, acting);

const update = (id: string, fields: object, acting: Acting = {}): Promise<ApiKey | null> =>
  keys.update(id, fields as UpdateApiKeyInput, acting);

/**
 * Runs statements of another session, then a call that must wait for it, and commits once it does.
 */
async function whileHeld<T>(statement: string, call: () => Promise<T>): Promise<PromiseSettledResult<T>> {
  const session = new Client({ connectionString: database });
  await session.connect();
  try {
    await session.query('BEGIN');
    await session.query(statement);
    const settled = Promise.allSettled([call()]);
    await until(async () => (await waiting()) > 0);
    await session.query('COMMIT');
    return (await settled)[0];
  } finally {
    await session.end();
  }
}

async function waiting(): Promise<number> {
  const rows = await sql(
    database,
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length;
}

const rows = () =>
  sql(database, `SELECT k.*, k.xmin FROM api_keys k WHERE user_id = $1 ORDER BY id`, [userId]);

describe('a change of a key that waited for a session that', () => {
  const CHANGES: [string, (id: string, acting?: Acting) => Promise<ApiKey | null>][] = [
    ['update', (id, acting) => update(id, { name: 'changed' }, acting)],
    ['revoke', async (id, acting) => (await keys.revoke(id, {}, acting))?.apiKey ?? null],
  ];

  it.each(CHANGES)('deleted the row finds no key: %s', async (_, change) => {
    const { id } = (await issue()).apiKey;
    const outcome = await whileHeld(`DELETE FROM api_keys WHERE id = ${id}`, () => change(id));
    expect(outcome).toEqual({ status: 'fulfilled', value: null });
  });

  it.each(
    CHANGES,
  )('gave the key to another owner is made under the lock of the new owner: %s', async (_, change) => {
    const newOwner = await createUser(database);
    const { id } = (await issue()).apiKey;
    const moving = `UPDATE api_keys SET user_id = ${newOwner} WHERE id = ${id}`;
    expect(await whileHeld(moving, () => change(id))).toMatchObject({ value: { id, userId: newOwner } });
  });

  it.each(
    CHANGES,
  )('gave the key to another owner finds no key for the earlier owner: %s', async (_, change) => {
    const newOwner = await createUser(database);
    const { id } = (await issue()).apiKey;
    const moving = `UPDATE api_keys SET user_id = ${newOwner} WHERE id = ${id}`;
    expect(await whileHeld(moving, () => change(id, { userId }))).toMatchObject({ value: null });
    expect(await keys.get(id)).toMatchObject({ name: 'ci', revokedAt: null });
  });
});

describe('a change that waited for another change', () => {
  it.each<[string, (own: IssuedApiKey, acting: Acting) => Promise<unknown>]>([
    ['update of itself', ({ apiKey: { id } }, acting) => update(id, { scopes: MANAGES }, acting)],
    ['create', (_, acting) => issue({ scopes: ['orders:write'] }, acting)],
    ['rotate of itself', ({ apiKey }, acting) => keys.rotate(apiKey.id, {}, acting).then(notWider)],
  ])('is judged by the authority that the key has afterwards: %s', async (_, change) => {
    const own = await issue();
    const narrow = `UPDATE api_keys SET scopes = '{api-keys:write,orders:read}' WHERE id = ${own.apiKey.id}`;
    const outcome = await whileHeld(narrow, () => change(own, { apiKey: own.apiKey }));
    expect(outcome).toMatchObject({ status: 'rejected' });
    const held = (await keys.list({ userId })).items.flatMap(({ scopes }) => scopes);
    expect(held).not.toContain('orders:write');
  });

  /**
   * A rotation hands on what the key has then, which is no excess: its successor must have no more.
   */
  function notWider(issued: IssuedApiKey | null): IssuedApiKey | null {
    if (issued?.apiKey.scopes.includes('orders:write')) return issued;
    throw new Error('the successor has no more than the key had then');
  }

  const ENDS: [string, string][] = [
    ['revoked', 'UPDATE api_keys SET revoked_at = now(), expires_at = now() WHERE id = %s'],
    ['expired', "UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = %s"],
    ['disabled', 'UPDATE api_keys SET disabled_at = now() WHERE id = %s'],
    ['deleted', 'DELETE FROM api_keys WHERE id = %s'],
  ];
  const CHANGES: [string, (target: IssuedApiKey, acting: Acting) => Promise<unknown>][] = [
    ['update', ({ apiKey: { id } }, acting) => update(id, { name: 'x' }, acting)],
    ['create', (_, acting) => issue({ scopes: [] }, acting)],
    ['rotate', ({ apiKey: { id } }, acting) => keys.rotate(id, {}, acting)],
    ['revoke', ({ apiKey: { id } }, acting) => keys.revoke(id, {}, acting)],
    ['revokeAll', (_, acting) => keys.revokeAll({ userId }, acting)],
    ['delete', ({ apiKey: { id } }, acting) => keys.delete(id, acting)],
    ['disable', ({ apiKey: { id } }, acting) => keys.disable(id, {}, acting)],
    ['enable', ({ apiKey: { id } }, acting) => keys.enable(id, {}, acting)],
  ];
  it.each(
    ENDS.flatMap(([end, text]) => CHANGES.map(([name, change]) => ({ end, text, name, change }))),
  )('is refused if the acting key was $end during the wait: $name', async ({ text, change }) => {
    const [actor, target] = [await issue(), await issue()];
    const others = async () => (await rows()).filter(({ id }) => id !== actor.apiKey.id);
    const before = await others();
    const outcome = await whileHeld(text.replace('%s', actor.apiKey.id), () =>
      change(target, { apiKey: actor.apiKey }),
    );
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'INVALID_API_KEY' } });
    expect(await others()).toEqual(before);
  });

  it('is refused if the acting key lost the required scope during the wait', async () => {
    const [actor, target] = [await issue(), await issue()];
    const narrow = `UPDATE api_keys SET scopes = '{orders:read}' WHERE id = ${actor.apiKey.id}`;
    const acting = { apiKey: actor.apiKey, needs: ['api-keys:write'] };
    const outcome = await whileHeld(narrow, () => keys.revoke(target.apiKey.id, {}, acting));
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'INSUFFICIENT_SCOPE' } });
    expect(await keys.verify(target.key)).toMatchObject({ ok: true });
  });

  it('is repeated as a whole if it and another session wait for each other', async () => {
    const [actor, target] = [await issue({ scopes: ['*'] }), await issue()];
    const rename = (id: string) => `UPDATE api_keys SET name = 'by hand' WHERE id = ${id}`;
    const session = new Client({ connectionString: database });
    await session.connect();
    // The change gives up first, because this session looks for a deadlock only after 10 minutes.
    await session.query("BEGIN; SET LOCAL deadlock_timeout = '10min'");
    await session.query(rename(target.apiKey.id));
    const changed = update(target.apiKey.id, { scopes: [] }, { apiKey: actor.apiKey });
    await until(async () => (await waiting()) > 0);
    await session.query(rename(actor.apiKey.id));
    await session.query('COMMIT');
    await session.end();
    expect(await changed).toMatchObject({ name: 'by hand', scopes: [] });
    expect((await keys.events(target.apiKey.id))?.items).toHaveLength(2);
  });

  it('does not undo a restriction by an operator, even if the key requests its old fields in a loop on two connections', async () => {
    for (let round = 0; round < 8; round++) {
      const { apiKey } = await issue();
      const loops = [app, other].map(async (each) => {
        for (let i = 0; i < 10; i++)
          await each.keys
            .update(apiKey.id, { scopes: MANAGES } as UpdateApiKeyInput, { apiKey })
            .catch(() => {});
      });
      await update(apiKey.id, { scopes: ['orders:read'] });
      await Promise.all(loops);
      expect((await keys.get(apiKey.id))?.scopes).toEqual(['orders:read']);
    }
  });
});

it('a change without an effect writes nothing and records no event', async () => {
  const fields = {
    name: 'ci',
    scopes: MANAGES,
    expiresAt: new Date(Date.now() + HOUR_MS),
    rateLimit: { limit: 5, windowSeconds: 60 },
    quota: { limit: 5, period: 'day' },
    allowedIps: ['10.0.0.1', '10.1.0.0/16'],
    metadata: { a: [1, { b: null }] },
  };
  const { apiKey } = await issue(fields);
  const before = await rows();
  for (const change of [fields, { name: 'ci' }, {}, { allowedIps: ['10.0.0.1/32', '10.1.0.0/16'] }])
    expect(await update(apiKey.id, change)).toEqual(apiKey);
  expect(await rows()).toEqual(before);
  expect((await keys.events(apiKey.id))?.items).toHaveLength(1);
});

describe('a weak key that may manage keys', () => {
  const BOUNDS: [string, object, object][] = [
    ['expiresAt', { expiresAt: new Date(Date.now() + HOUR_MS) }, { expiresAt: null }],
    ['allowedIps', { allowedIps: ['10.0.0.0/8'] }, { allowedIps: null }],
    ['allowedIps to more of them', { allowedIps: ['10.0.0.0/8'] }, { allowedIps: ['10.0.0.0/7'] }],
    ['rateLimit', { rateLimit: { limit: 5, windowSeconds: 60 } }, { rateLimit: null }],
    ['quota', { quota: { limit: 5, period: 'day' } }, { quota: null }],
    ['scopes', { scopes: ['*'] }, { scopes: ['*', 'orders:read'], expiresAt: null }],
  ];
  it.each(BOUNDS)('does not widen a field of a stronger key: %s', async (_, bound, wider) => {
    const weak = await issue({ scopes: ['api-keys:write'] });
    const strong = await issue({ scopes: ['*'], expiresAt: new Date(Date.now() + HOUR_MS), ...bound });
    const before = await rows();
    await expect(update(strong.apiKey.id, wider, { apiKey: weak.apiKey })).rejects.toThrow(
      ApiKeyAuthorityError,
    );
    expect(await rows()).toEqual(before);
  });

  it('may rename a stronger key and narrow it to its own authority', async () => {
    const weak = await issue({ scopes: ['api-keys:write'] });
    const strong = await issue({ scopes: ['*'] });
    const acting = { apiKey: weak.apiKey };
    expect(await update(strong.apiKey.id, { name: 'x' }, acting)).toMatchObject({ name: 'x' });
    const narrowed = { scopes: ['api-keys:write'], allowedIps: ['10.0.0.0/8'] };
    expect(await update(strong.apiKey.id, narrowed, acting)).toMatchObject(narrowed);
  });

  it('widens a field if the other key then has no more than its own authority', async () => {
    const weak = await issue({ scopes: ['api-keys:*'] });
    const target = await issue({ scopes: ['api-keys:read'], allowedIps: ['10.0.0.0/8'] });
    const changed = await update(target.apiKey.id, { allowedIps: null }, { apiKey: weak.apiKey });
    expect(changed).toMatchObject({ allowedIps: null });
  });
});

describe('an expired or rotated key', () => {
  const LATER: [string, Date | null][] = [
    ['for ever', null],
    ['until later', new Date(Date.now() + 2 * HOUR_MS)],
  ];
  it.each(LATER)('is not extended by a key after it expired: %s', async (_, expiresAt) => {
    const [manager, { apiKey }] = [await issue({ scopes: ['*'] }), await issue()];
    await sql(database, `UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = ${apiKey.id}`);
    await expect(update(apiKey.id, { expiresAt }, { apiKey: manager.apiKey })).rejects.toThrow(
      ApiKeyConflictError,
    );
    expect(await update(apiKey.id, { name: 'x' }, { apiKey: manager.apiKey })).toMatchObject({ name: 'x' });
    expect(await update(apiKey.id, { expiresAt })).toMatchObject({ expiresAt });
  });

  it.each(LATER)('is not extended by a key after it was rotated: %s', async (_, expiresAt) => {
    const [manager, { apiKey }] = [await issue({ scopes: ['*'] }), await issue()];
    await keys.rotate(apiKey.id, { overlapSeconds: 60 });
    for (const actor of [manager.apiKey, apiKey])
      await expect(update(apiKey.id, { expiresAt }, { apiKey: actor })).rejects.toThrow(ApiKeyConflictError);
    const sooner = new Date(Date.now() + 30_000);
    expect(await update(apiKey.id, { expiresAt: sooner }, { apiKey: manager.apiKey })).toMatchObject({
      expiresAt: sooner,
    });
  });
});

describe('a key without a limit of its own', () => {
  it.each<[string, object]>([
    ['more in a window', { limit: 101, windowSeconds: 60 }],
    ['the largest limit', { limit: 1_000_000_000, windowSeconds: 1 }],
    ['more in the long run', { limit: 100, windowSeconds: 59 }],
  ])('has the default limit: it gives neither itself nor a child %s', async (_, rateLimit) => {
    const { apiKey } = await issue();
    await expect(update(apiKey.id, { rateLimit }, { apiKey })).rejects.toThrow(ApiKeyAuthorityError);
    await expect(issue({ rateLimit }, { apiKey })).rejects.toThrow(ApiKeyAuthorityError);
    expect(await issue({}, { apiKey })).toMatchObject({ apiKey: { rateLimit: null } });
  });

  it('can narrow itself below the default, and not widen itself back to it', async () => {
    const { apiKey } = await issue();
    const narrow = { limit: 50, windowSeconds: 60 };
    expect(await update(apiKey.id, { rateLimit: narrow }, { apiKey })).toMatchObject({ rateLimit: 50 });
    await expect(update(apiKey.id, { rateLimit: null }, { apiKey })).rejects.toThrow(ApiKeyAuthorityError);
  });
});

describe('a key that changes its own window or period', () => {
  it.each<[string, object, object]>([
    [
      'a shorter window',
      { rateLimit: { limit: 100, windowSeconds: 3_600 } },
      { rateLimit: { limit: 1, windowSeconds: 36 } },
    ],
    [
      'a day instead of a month',
      { quota: { limit: 62, period: 'month' } },
      { quota: { limit: 2, period: 'day' } },
    ],
  ])('is not given %s, because that would reset its use', async (_, present, wanted) => {
    const { apiKey } = await issue(present);
    await expect(update(apiKey.id, wanted, { apiKey })).rejects.toThrow(ApiKeyAuthorityError);
    expect(await keys.get(apiKey.id)).toEqual(apiKey);
    expect(await update(apiKey.id, wanted)).not.toEqual(apiKey);
  });

  it('may be given a lower limit', async () => {
    const { apiKey } = await issue({
      rateLimit: { limit: 100, windowSeconds: 60 },
      quota: { limit: 62, period: 'day' },
    });
    const less = { rateLimit: { limit: 50, windowSeconds: 120 }, quota: { limit: 62, period: 'month' } };
    expect(await update(apiKey.id, less, { apiKey })).toMatchObject({ rateLimit: 50, quotaPeriod: 'month' });
  });
});

describe('a limited key', () => {
  const acting = async ({ apiKey }: IssuedApiKey): Promise<Acting> => ({
    apiKey: (await keys.get(apiKey.id)) as ApiKey,
  });

  it('cannot replace its limit with the default, because that would free the keys that it created', async () => {
    const own = await issue({ rateLimit: { limit: 200, windowSeconds: 60 } });
    const child = await issue({}, await acting(own));
    await expect(update(own.apiKey.id, { rateLimit: null }, await acting(own))).rejects.toThrow(
      ApiKeyAuthorityError,
    );
    expect(await keys.get(child.apiKey.id)).toEqual(child.apiKey);
    expect(await update(child.apiKey.id, { rateLimit: null }, await acting(own))).toMatchObject({
      rateLimit: null,
    });
  });

  it('cannot remove the limit of another key, unless that key counts on the limit of the acting key', async () => {
    const [limited, other] = [
      await issue({ rateLimit: { limit: 200, windowSeconds: 60 } }),
      await issue({ rateLimit: { limit: 200, windowSeconds: 60 } }),
    ];
    await expect(update(other.apiKey.id, { rateLimit: null }, await acting(limited))).rejects.toThrow(
      ApiKeyAuthorityError,
    );
    expect(await update(other.apiKey.id, { rateLimit: null }, await acting(await issue()))).toMatchObject({
      rateLimit: null,
    });
  });

  it.each<[string, object, object]>([
    [
      'window',
      { rateLimit: { limit: 60, windowSeconds: 3_600 } },
      { rateLimit: { limit: 1, windowSeconds: 60 } },
    ],
    ['period', { quota: { limit: 62, period: 'month' } }, { quota: { limit: 2, period: 'day' } }],
  ])('does not give its successor a shorter %s, because that would reset the use of both', async (_, fields, shorter) => {
    const old = await issue(fields);
    const successor = (await keys.rotate(old.apiKey.id, {}, await acting(old))) as IssuedApiKey;
    const child = await issue({}, await acting(successor));
    await update(old.apiKey.id, { expiresAt: null });
    await update(successor.apiKey.id, { expiresAt: null });
    for (const each of [old, child])
      await expect(update(successor.apiKey.id, shorter, await acting(each))).rejects.toThrow(
        ApiKeyAuthorityError,
      );
    expect(await update(child.apiKey.id, shorter, await acting(successor))).toMatchObject({
      id: child.apiKey.id,
    });
  });
});

it('an ended acting key is refused with the message of an invalid key, which reveals nothing else', async () => {
  const { apiKey } = await issue();
  await keys.revoke(apiKey.id);
  const refused = await issue({ scopes: [] }, { apiKey }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(ApiKeyRefusal);
  expect(refused).toMatchObject({
    code: 'INVALID_API_KEY',
    refused: { reason: 'revoked', apiKey: { id: apiKey.id } },
  });
});
