import { createHash, randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { asRails, createRailsDatabase, RAILS_KEYS, railsAuthenticates } from './rails';
import { runKeys, type Sample, startSample } from './sample';
import { until } from './until';

interface Me {
  readonly user: { readonly id: string; readonly email: string };
  readonly apiKey: {
    readonly id: string;
    readonly scopes: readonly string[];
    readonly expiresAt: string | null;
  };
}

/**
 * Inserts a key in the same way as Rails. Times are UTC texts without a time zone. Columns that
 * only this library has are not set.
 */
async function insertAsRails(client: Client, columns: Readonly<Record<string, string>>): Promise<string> {
  const key = randomBytes(32).toString('hex');
  const row = {
    user_id: '7',
    name: "'added'",
    key_digest: `'${digest(key)}'`,
    key_prefix: `'${key.slice(0, 8)}'`,
    created_at: `'2026-01-01 00:00:00.000000'`,
    updated_at: `'2026-01-01 00:00:00.000000'`,
    ...columns,
  };
  await client.query(
    `INSERT INTO api_keys (${Object.keys(row).join(', ')}) VALUES (${Object.values(row).join(', ')})`,
  );
  return key;
}

/** Returns a UTC time in the format of Rails. */
function railsTime(offsetMs: number): string {
  return `'${new Date(Date.now() + offsetMs).toISOString().slice(0, 19).replace('T', ' ')}'`;
}

function digest(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}

const HOUR_MS = 3_600_000;

/**
 * Returns the tests of a process that has adopted the database of a Rails app. The process runs in
 * the given time zone.
 */
export const adoptsRails = (zone: string) => () => {
  let database: string;
  let sample: Sample;
  let valid: boolean[];
  const added = new Map<string, string>();

  beforeAll(async () => {
    database = await createRailsDatabase();
    valid = await asRails(database, async (client) => {
      const answers: boolean[] = [];
      for (const { key } of RAILS_KEYS) answers.push(await railsAuthenticates(client, digest(key)));
      return answers;
    });
    await asRails(database, async (client) => {
      added.set('scopes NULL', await insertAsRails(client, { scopes: 'NULL' }));
      added.set('scopes {NULL}', await insertAsRails(client, { scopes: `'{NULL}'` }));
      added.set(
        'an expiry of infinity',
        await insertAsRails(client, { scopes: `'{orders:read}'`, expires_at: `'infinity'` }),
      );
      added.set('an expiry in an hour', await insertAsRails(client, { expires_at: railsTime(HOUR_MS) }));
      added.set('an expiry an hour ago', await insertAsRails(client, { expires_at: railsTime(-HOUR_MS) }));
      added.set('an expiry of -infinity', await insertAsRails(client, { expires_at: `'-infinity'` }));
    });
    sample = await startSample({ DATABASE_URL: database, TZ: zone, API_KEY_FORMAT: 'hex' });
  });

  afterAll(() => sample?.stop());

  const call = (path: string, key: string, init: RequestInit = {}) =>
    fetch(sample.url + path, {
      ...init,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    });
  const me = async (key: string): Promise<Me> => (await (await call('/me', key)).json()) as Me;
  const statuses = async (key: string): Promise<number[]> => [
    (await call('/me', key)).status,
    (await call('/orders', key)).status,
    (await call('/orders', key, { method: 'POST', body: '{"item":"tea","quantity":1}' })).status,
  ];

  it('accepts and refuses every key as Rails did, for the same user, with the same scopes and expiry', async () => {
    expect(new Set(valid)).toEqual(new Set([true, false]));
    for (const [i, { id, key, userId, email, scopes, expiresAt }] of RAILS_KEYS.entries()) {
      const expected = valid[i]
        ? [200, scopes.includes('orders:read') ? 200 : 403, scopes.includes('orders:write') ? 201 : 403]
        : [401, 401, 401];
      expect({ id, statuses: await statuses(key) }).toEqual({ id, statuses: expected });
      if (!valid[i]) continue;
      const { user, apiKey } = await me(key);
      expect({ user, id: apiKey.id, scopes: apiKey.scopes }).toEqual({
        user: { id: userId, email },
        id,
        scopes,
      });
      expect(apiKey.expiresAt && new Date(apiKey.expiresAt)).toEqual(expiresAt && new Date(expiresAt));
    }
  });

  it.each([
    ['scopes NULL', [200, 403, 403]],
    ['scopes {NULL}', [200, 403, 403]],
    ['an expiry of infinity', [200, 200, 403]],
    ['an expiry in an hour', [200, 403, 403]],
    ['an expiry an hour ago', [401, 401, 401]],
    ['an expiry of -infinity', [401, 401, 401]],
  ])('treats a key with %s as Rails does', async (name, expected) => {
    expect(await statuses(added.get(name) ?? '')).toEqual(expected);
  });

  it('shows infinity as no expiry, and NULL scopes as none', async () => {
    expect((await me(added.get('an expiry of infinity') ?? '')).apiKey.expiresAt).toBeNull();
    expect((await me(added.get('scopes NULL') ?? '')).apiKey.scopes).toEqual([]);
    expect((await me(added.get('scopes {NULL}') ?? '')).apiKey.scopes).toEqual([]);
  });

  it('accepts a key that Rails inserts while the app runs, with the exact expiry', async () => {
    const [soon, gone] = await asRails(database, async (client) => [
      await insertAsRails(client, { scopes: `'{orders:read}'`, expires_at: railsTime(HOUR_MS) }),
      await insertAsRails(client, { scopes: `'{orders:read}'`, expires_at: railsTime(-HOUR_MS) }),
    ]);
    expect([await statuses(soon as string), await statuses(gone as string)]).toEqual([
      [200, 200, 403],
      [401, 401, 401],
    ]);
  });

  it('refuses a key that Rails deletes as soon as the feed notifies it', async () => {
    const key = await asRails(database, (client) => insertAsRails(client, {}));
    expect((await call('/me', key)).status).toBe(200);
    await asRails(database, (client) =>
      client.query('DELETE FROM api_keys WHERE key_digest = $1', [digest(key)]),
    );
    await until(async () => (await call('/me', key)).status === 401);
  });

  it('a key revoked here is expired for Rails', async () => {
    const key = await asRails(database, (client) => insertAsRails(client, {}));
    const { apiKey } = await me(key);
    const { code } = await runKeys(['revoke', apiKey.id], { DATABASE_URL: database, TZ: zone });
    expect(code).toBe(0);
    expect((await call('/me', key)).status).toBe(401);
    expect(await asRails(database, (client) => railsAuthenticates(client, digest(key)))).toBe(false);
  });

  it('a key disabled here is expired for Rails until it is enabled, and then has what Rails wrote meanwhile', async () => {
    const key = await asRails(database, (client) =>
      insertAsRails(client, { expires_at: railsTime(HOUR_MS) }),
    );
    const { id, expiresAt } = (await me(key)).apiKey;
    const manager = await asRails(database, (client) =>
      insertAsRails(client, { scopes: `'{api-keys:write}'` }),
    );
    const run = async (command: 'disable' | 'enable') =>
      expect((await call(`/api-keys/${id}/${command}`, manager, { method: 'POST' })).status).toBe(200);
    const accepted = async () => [
      (await call('/me', key)).status,
      await asRails(database, (client) => railsAuthenticates(client, digest(key))),
    ];
    await run('disable');
    expect(await accepted()).toEqual([401, false]);
    await run('enable');
    await until(async () => (await call('/me', key)).status === 200);
    expect([await accepted(), (await me(key)).apiKey.expiresAt]).toEqual([[200, true], expiresAt]);
    await run('disable');
    await asRails(database, (client) =>
      client.query(`UPDATE api_keys SET expires_at = ${railsTime(2 * HOUR_MS)} WHERE id = $1`, [id]),
    );
    expect(await accepted()).toEqual([401, true]);
    await run('enable');
    await until(async () => (await call('/me', key)).status === 200);
    const { expiresAt: later } = (await me(key)).apiKey;
    expect(Date.parse(String(later)) - Date.parse(String(expiresAt))).toBeGreaterThan(HOUR_MS / 2);
  });

  it('a key minted here in the Rails form authenticates there', async () => {
    const created = await runKeys(
      ['create', '--user', 'user3@example.com', '--name', 'new', '--scopes', 'orders:read', '--json'],
      {
        DATABASE_URL: database,
        TZ: zone,
        API_KEY_FORMAT: 'hex',
      },
    );
    const { key, masked } = JSON.parse(created.stdout);
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(masked).toBe(`${key.slice(0, 8)}...${key.slice(-4)}`);
    expect(await asRails(database, (client) => railsAuthenticates(client, digest(key)))).toBe(true);
    expect((await me(key)).user).toEqual({ id: '3', email: 'user3@example.com' });
  });

  it('a user made here has the times that Rails asks for, in UTC', async () => {
    await runKeys(['create', '--user', 'new@example.com', '--name', 'new', '--scopes', 'orders:read'], {
      DATABASE_URL: database,
      TZ: zone,
    });
    const { rows } = await asRails(database, (client) =>
      client.query(
        `SELECT abs(extract(epoch FROM (now() AT TIME ZONE 'UTC') - created_at)) < 60 AS now FROM users WHERE email = 'new@example.com'`,
      ),
    );
    expect(rows).toEqual([{ now: true }]);
  });
};
