import type { CanActivate, ExecutionContext } from '@nestjs/common';
import {
  type Acting,
  ApiKeyGuard,
  ApiKeyRefusal,
  type ApiKeyService,
  type CreateApiKeyInput,
  type IssuedApiKey,
  ScopesGuard,
} from 'nestjs-api-key';
import { ApiKeyManagementModule, type ApiKeyManagementOptions } from 'nestjs-api-key/management';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';

const DAY_MS = 86_400_000;
const NO_IDS = ['0', '-1', 'x', '1.5', '9223372036854775808', '1'.repeat(80), '999999', '%20', '1%00'];

it.each([
  undefined,
  null,
  {},
  { guards: [] },
  { guards: 'none' },
])('the module refuses to start with %j', (options) => {
  expect(() => ApiKeyManagementModule.forRoot(options as never)).toThrow(/set the option "guards"/);
});

describe.each(ADAPTERS)('keys over REST, on %s,', (adapter) => {
  let database: string;
  let app: TestApp;
  let keys: ApiKeyService;
  let userId: string;
  let otherId: string;
  let manager: IssuedApiKey;
  let reader: IssuedApiKey;
  let stranger: IssuedApiKey;

  const issue = (owner: string, scopes: readonly string[], more: Partial<CreateApiKeyInput> = {}) =>
    keys.create({ userId: owner, name: 'ci', scopes, ...more } as CreateApiKeyInput);

  beforeAll(async () => {
    database = await createMigratedDatabase();
    [userId, otherId] = [await createUser(database), await createUser(database)];
    app = await bootApp({
      database,
      adapter,
      imports: [ApiKeyManagementModule.forRoot({ guards: [ApiKeyGuard, ScopesGuard] })],
      options: { audit: { refused: 'off' } },
    });
    keys = app.keys;
    manager = await issue(userId, ['api-keys:*', 'orders:*']);
    reader = await issue(userId, ['api-keys:read']);
    stranger = await issue(otherId, ['*']);
  });

  afterAll(() => app.close());

  interface Answer {
    readonly status: number;
    readonly headers: Headers;
    readonly text: string;
    readonly json: Record<string, unknown>;
  }

  async function call(
    as: IssuedApiKey | null,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer> {
    const response = await fetch(`${app.url}/api-keys${path}`, {
      method,
      headers: {
        ...(as && { authorization: `Bearer ${as.key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: text === '' ? {} : JSON.parse(text),
    };
  }

  /** All that a refused request must leave as it was. */
  const everything = () =>
    sql(
      database,
      `SELECT (SELECT jsonb_agg(to_jsonb(k) - 'last_used_at' ORDER BY id) FROM api_keys k) AS keys, (SELECT count(*) FROM api_key_events) AS events`,
    );

  it("POST creates a key, shown once, for the caller's owner", async () => {
    const expiresAt = new Date(Date.now() + DAY_MS).toISOString();
    const { status, headers, json } = await call(manager, 'POST', '', {
      name: 'worker',
      scopes: ['orders:read'],
      expiresAt,
      rateLimit: { limit: 10, windowSeconds: 60 },
      quota: { limit: 1_000, period: 'day' },
      allowedIps: ['10.0.0.0/8'],
      metadata: { team: { name: 'a', list: [1, null] } },
    });
    expect([status, headers.get('cache-control')]).toEqual([201, 'no-store']);
    expect(json).toMatchObject({
      id: expect.stringMatching(/^\d+$/),
      key: expect.stringMatching(/^key_\w{49}$/),
      name: 'worker',
      scopes: ['orders:read'],
      expiresAt,
      state: 'active',
      rateLimit: { limit: 10, windowSeconds: 60 },
      quota: { limit: 1_000, period: 'day' },
      allowedIps: ['10.0.0.0/8'],
      metadata: { team: { name: 'a', list: [1, null] } },
      replaces: null,
      lastUsedAt: null,
      revokedAt: null,
      disabledAt: null,
    });
    expect(await keys.verify(json.key)).toMatchObject({ ok: true, apiKey: { userId } });
    const seen = await call(manager, 'GET', `/${json.id}`);
    const { key, ...rest } = json;
    expect(seen.json).toEqual(rest);
    expect(seen.text).not.toContain(key);
  });

  it("GET lists the caller's own keys in pages, newest first, never a key or digest", async () => {
    const owner = await createUser(database);
    const own = await issue(owner, ['api-keys:read']);
    for (let i = 0; i < 4; i++) await issue(owner, []);
    const first = await call(own, 'GET', '?limit=3');
    const second = await call(own, 'GET', `?limit=3&cursor=${first.json.nextCursor}`);
    const ids = [...(first.json.items as { id: string }[]), ...(second.json.items as { id: string }[])].map(
      ({ id }) => id,
    );
    expect(ids).toHaveLength(5);
    expect(ids).toEqual([...ids].sort((a, b) => Number(b) - Number(a)));
    expect([ids.at(-1), second.json.nextCursor]).toEqual([own.apiKey.id, null]);
    expect(first.text + second.text).not.toMatch(/[0-9a-f]{64}|digest/i);
    expect(first.text + second.text).not.toContain(own.key);
    const revoked = await call(own, 'GET', '?state=revoked');
    expect(revoked.json).toEqual({ items: [], nextCursor: null });
  });

  it('PATCH changes name, scopes, expiresAt, rateLimit, quota, allowedIps, metadata', async () => {
    const { apiKey } = await issue(userId, []);
    const changes = {
      name: 'renamed',
      scopes: ['orders:*'],
      expiresAt: new Date(Date.now() + DAY_MS).toISOString(),
      rateLimit: { limit: 1, windowSeconds: 1 },
      quota: { limit: 1, period: 'month' },
      allowedIps: ['192.0.2.1'],
      metadata: { a: 1 },
    };
    const changed = await call(manager, 'PATCH', `/${apiKey.id}`, changes);
    expect([changed.status, changed.json]).toMatchObject([200, { ...changes, allowedIps: ['192.0.2.1/32'] }]);
    const cleared = await call(manager, 'PATCH', `/${apiKey.id}`, {
      expiresAt: null,
      rateLimit: null,
      quota: null,
      allowedIps: null,
    });
    expect(cleared.json).toMatchObject({
      name: 'renamed',
      expiresAt: null,
      rateLimit: null,
      quota: null,
      allowedIps: null,
    });
    expect((await call(manager, 'PATCH', `/${apiKey.id}`, {})).status).toBe(200);
  });

  it('POST rotate creates the successor; a second rotation is 409', async () => {
    const old = await issue(userId, ['orders:read'], { expiresAt: new Date(Date.now() + DAY_MS) });
    const before = Date.now();
    const { status, headers, json } = await call(manager, 'POST', `/${old.apiKey.id}/rotate`, {
      overlapSeconds: 60,
    });
    expect([status, headers.get('cache-control')]).toEqual([201, 'no-store']);
    expect(json).toMatchObject({ replaces: old.apiKey.id, scopes: ['orders:read'], name: 'ci' });
    expect(await keys.verify(json.key)).toMatchObject({ ok: true });
    const left = ((await keys.get(old.apiKey.id))?.expiresAt?.getTime() ?? 0) - before;
    expect(Math.abs(left - 60_000)).toBeLessThan(30_000);
    const again = await call(manager, 'POST', `/${old.apiKey.id}/rotate`, { overlapSeconds: 0 });
    expect([again.status, again.json]).toMatchObject([409, { statusCode: 409, error: 'CONFLICT' }]);
    const alone = await issue(userId, []);
    expect((await call(manager, 'POST', `/${alone.apiKey.id}/rotate`, {})).status).toBe(201);
  });

  it('a key can rotate itself', async () => {
    const self = await issue(userId, ['api-keys:write'], { expiresAt: new Date(Date.now() + DAY_MS) });
    const rotated = await call(self, 'POST', `/${self.apiKey.id}/rotate`, { overlapSeconds: 0 });
    expect(rotated.status).toBe(201);
    expect((await call(self, 'POST', '', { name: 'late' })).status).toBe(401);
  });

  it('DELETE revokes, a second DELETE has no effect, and the events list all changes', async () => {
    const { key, apiKey } = await issue(userId, []);
    expect((await call(manager, 'DELETE', `/${apiKey.id}`)).status).toBe(204);
    expect((await call(manager, 'DELETE', `/${apiKey.id}`)).status).toBe(204);
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'revoked' });
    const { json, text } = await call(reader, 'GET', `/${apiKey.id}/events`);
    expect(json).toMatchObject({
      items: [
        {
          type: 'revoked',
          keyId: apiKey.id,
          actor: { type: 'key', id: manager.apiKey.id },
          address: '127.0.0.1',
        },
        { type: 'created', masked: apiKey.masked },
      ],
      nextCursor: null,
    });
    expect(text).not.toContain(key);
    expect((await call(manager, 'PATCH', `/${apiKey.id}`, { name: 'x' })).status).toBe(409);
  });

  it('POST disable refuses a key until POST enable, with the same expiry, and the events have both', async () => {
    const expiresAt = new Date(Date.now() + DAY_MS).toISOString();
    const worker = await issue(userId, ['api-keys:read'], { expiresAt: new Date(expiresAt) });
    const to = `/${worker.apiKey.id}`;
    const disabled = await call(manager, 'POST', `${to}/disable`, { reason: 'suspect', everywhere: true });
    expect([disabled.status, disabled.json]).toMatchObject([
      200,
      { id: worker.apiKey.id, state: 'disabled', disabledAt: expect.any(String), expiresAt },
    ]);
    expect(disabled.text).not.toContain(worker.key);
    expect((await call(worker, 'GET', to)).json).toMatchObject({ statusCode: 401, error: 'INVALID_API_KEY' });
    expect((await call(reader, 'GET', to)).json).toEqual(disabled.json);
    expect((await call(manager, 'POST', `${to}/rotate`)).json).toMatchObject({
      error: 'CONFLICT',
      message: `key ${worker.apiKey.id} is disabled: enable it first`,
    });
    const enabled = await call(manager, 'POST', `${to}/enable`, { reason: 'cleared' });
    expect([enabled.status, enabled.json]).toMatchObject([
      200,
      { state: 'active', disabledAt: null, expiresAt },
    ]);
    expect((await call(worker, 'GET', to)).status).toBe(200);
    expect((await call(manager, 'POST', `${to}/enable`)).json).toMatchObject({ state: 'active' });
    const { items } = (await call(reader, 'GET', `${to}/events`)).json as { items: object[] };
    const actor = { type: 'key', id: manager.apiKey.id };
    expect(items.filter(({ type }: { type?: string }) => type !== 'refused')).toMatchObject([
      { type: 'enabled', actor, details: { reason: 'cleared' } },
      { type: 'disabled', actor, details: { reason: 'suspect' } },
      { type: 'created' },
    ]);
  });

  it('POST enable is 403 for a key that an operator disabled, and 409 for a rotated or revoked key', async () => {
    const [suspect, rotated] = [await issue(userId, []), await issue(userId, [])];
    await keys.disable(suspect.apiKey.id);
    const enable = ({ apiKey }: IssuedApiKey) => call(manager, 'POST', `/${apiKey.id}/enable`);
    expect((await call(manager, 'POST', `/${suspect.apiKey.id}/disable`)).status).toBe(200);
    expect(await enable(suspect)).toMatchObject({ status: 403, json: { error: 'EXCEEDS_API_KEY' } });
    await keys.rotate(rotated.apiKey.id);
    await call(manager, 'POST', `/${rotated.apiKey.id}/disable`);
    expect(await enable(rotated)).toMatchObject({ status: 409, json: { error: 'CONFLICT' } });
    await keys.revoke(suspect.apiKey.id);
    for (const path of ['enable', 'disable'])
      expect(await call(manager, 'POST', `/${suspect.apiKey.id}/${path}`)).toMatchObject({
        status: 409,
        json: { error: 'CONFLICT' },
      });
  });

  it('a key that disabled itself cannot enable itself', async () => {
    const self = await issue(userId, ['api-keys:write']);
    expect((await call(self, 'POST', `/${self.apiKey.id}/disable`)).json).toMatchObject({
      state: 'disabled',
    });
    expect((await call(self, 'POST', `/${self.apiKey.id}/enable`)).json).toMatchObject({
      error: 'INVALID_API_KEY',
    });
  });

  it.each([
    { reason: '' },
    { reason: null },
    { reason: 'a\nb' },
    { reason: 'x'.repeat(256) },
    { everywhere: 'true' },
    { everywhere: 1 },
    { expiresAt: null },
    [],
  ])('POST disable with %j is 400 INVALID_REQUEST and disables nothing', async (body) => {
    const { key, apiKey } = await issue(userId, []);
    const answer = await call(manager, 'POST', `/${apiKey.id}/disable`, body);
    expect([answer.status, answer.json.error]).toEqual([400, 'INVALID_REQUEST']);
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('POST enable with an unknown field is 400 INVALID_REQUEST and enables nothing', async () => {
    const { key, apiKey } = await issue(userId, []);
    await call(manager, 'POST', `/${apiKey.id}/disable`);
    const answer = await call(manager, 'POST', `/${apiKey.id}/enable`, { everywhere: true });
    expect([answer.status, answer.json.error]).toEqual([400, 'INVALID_REQUEST']);
    expect(await keys.verify(key)).toMatchObject({ ok: false });
  });

  it('DELETE with descendants revokes the keys that a key created, also after its row was deleted, and stores the reason', async () => {
    const root = await issue(userId, ['api-keys:*', 'orders:*']);
    const child = (await call(root, 'POST', '', { name: 'x', scopes: ['api-keys:write'] })).json;
    const heir = (await call(root, 'POST', `/${child.id}/rotate`)).json;
    expect(child.ancestorIds).toEqual([root.apiKey.id]);
    expect(heir.ancestorIds).toEqual([root.apiKey.id, child.id]);
    await sql(database, 'DELETE FROM api_keys WHERE id = $1', [root.apiKey.id]);
    const path = `/${root.apiKey.id}`;
    expect((await call(manager, 'DELETE', path)).status).toBe(404);
    expect((await call(stranger, 'DELETE', `${path}?descendants=true`)).status).toBe(404);
    const ended = await call(
      manager,
      'DELETE',
      `${path}?descendants=true&everywhere=true&reason=leaked%20today`,
    );
    expect([ended.status, ended.text]).toEqual([204, '']);
    for (const { key } of [child, heir]) expect(await keys.verify(key)).toMatchObject({ reason: 'revoked' });
    const { items } = (await call(manager, 'GET', `/${heir.id}/events`)).json as { items: object[] };
    expect(items[0]).toMatchObject({
      type: 'revoked',
      actor: { type: 'key', id: manager.apiKey.id },
      details: { reason: 'leaked today', ancestorId: root.apiKey.id },
    });
  });

  it.each([
    'descendants=yes',
    'descendants=true&descendants=true',
    'everywhere=',
    'reason=',
    'reason=a%0Ab',
    'reason=a&reason=b',
    `reason=${'x'.repeat(256)}`,
    'cascade=true',
  ])('DELETE with ?%s is 400 INVALID_REQUEST and revokes nothing', async (query) => {
    const { key, apiKey } = await issue(userId, []);
    const { status, json } = await call(manager, 'DELETE', `/${apiKey.id}?${query}`);
    expect([status, json.error]).toEqual([400, 'INVALID_REQUEST']);
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('a change that would give or leave a key more than the acting key has is EXCEEDS_API_KEY', async () => {
    const strong = await issue(userId, ['*'], { expiresAt: new Date(Date.now() + DAY_MS) });
    const weak = await issue(userId, ['api-keys:*'], { rateLimit: { limit: 5, windowSeconds: 60 } });
    const to = `/${strong.apiKey.id}`;
    for (const [method, path, body] of [
      ['PATCH', to, { expiresAt: null }],
      ['PATCH', to, { rateLimit: { limit: 6, windowSeconds: 60 } }],
      ['POST', `${to}/rotate`, {}],
      ['POST', '', { name: 'x', rateLimit: { limit: 1_000_000_000, windowSeconds: 1 } }],
      ['POST', '', { name: 'x', scopes: ['orders:read'] }],
    ] as const)
      expect(await call(weak, method, path, body)).toMatchObject({
        status: 403,
        json: { error: 'EXCEEDS_API_KEY' },
      });
    await keys.rotate(strong.apiKey.id, {});
    const revival = await call(manager, 'PATCH', to, { expiresAt: null });
    expect([revival.status, revival.json.error]).toEqual([409, 'CONFLICT']);
  });

  it('GET usage returns the requests of a key and its remaining quota', async () => {
    const used = await issue(userId, ['api-keys:read'], { quota: { limit: 9, period: 'month' } });
    for (let i = 0; i < 2; i++) await call(used, 'GET', '');
    const { status, json } = await call(used, 'GET', `/${used.apiKey.id}/usage`);
    const period = { startsAt: expect.stringMatching(/:00:00\.000Z$/), requests: 3, limited: 0 };
    const quota = {
      limit: 9,
      period: 'month',
      used: 0,
      remaining: 9,
      resetsAt: expect.stringMatching(/T00:00:00\.000Z$/),
    };
    expect([status, json]).toEqual([200, { quota, hours: [period], days: [period] }]);
  });

  const ENDPOINTS: [string, string, unknown, 'read' | 'write', number][] = [
    ['POST', '', { name: 'x' }, 'write', 201],
    ['GET', '', undefined, 'read', 200],
    ['GET', '/:id', undefined, 'read', 200],
    ['PATCH', '/:id', { name: 'new' }, 'write', 200],
    ['GET', '/:id/events', undefined, 'read', 200],
    ['GET', '/:id/usage', undefined, 'read', 200],
    ['POST', '/:id/rotate', { overlapSeconds: 60 }, 'write', 201],
    ['POST', '/:id/disable', { reason: 'suspect' }, 'write', 200],
    ['POST', '/:id/enable', undefined, 'write', 200],
    ['DELETE', '/:id', undefined, 'write', 204],
  ];

  describe.each(ENDPOINTS)('%s /api-keys%s', (method, path, body, needs, allowed) => {
    const to = (id: string) => path.replace(':id', id);
    const other = needs === 'read' ? 'api-keys:write' : 'api-keys:read';

    it('is refused without a key and with an own key without the scope, and changes nothing', async () => {
      const target = await issue(userId, []);
      const without = await issue(userId, [other, 'orders:*']);
      const before = await everything();
      expect((await call(null, method, to(target.apiKey.id), body)).json).toMatchObject({
        error: 'MISSING_API_KEY',
      });
      const refused = await call(without, method, to(target.apiKey.id), body);
      expect([refused.status, refused.json]).toMatchObject([
        403,
        { error: 'INSUFFICIENT_SCOPE', missing: [`api-keys:${needs}`] },
      ]);
      expect(await everything()).toEqual(before);
    });

    it('neither shows nor changes a key of another user', async () => {
      const target = await issue(userId, []);
      const before = await everything();
      const answer = await call(stranger, method, to(target.apiKey.id), body);
      expect(answer.text).not.toContain(target.apiKey.masked);
      if (path === '') return;
      expect(answer.status).toBe(404);
      expect(await everything()).toEqual(before);
    });

    it('is allowed for an own key with the scope', async () => {
      const target = await issue(userId, []);
      const holder = await issue(userId, [`api-keys:${needs}`]);
      expect((await call(holder, method, to(target.apiKey.id), body)).status).toBe(allowed);
    });

    if (path !== '') {
      it.each(NO_IDS)('answers 404 for the id %s', async (id) => {
        expect((await call(manager, method, to(id), body)).status).toBe(404);
      });
    }
  });

  it.each<[string, unknown]>([
    ['scopes', { scopes: ['users:read'] }],
    ['a wildcard', { scopes: ['*'] }],
    ['scopes beside its own', { scopes: ['orders:read', 'users:read'] }],
  ])('a caller cannot give more %s than its own', async (_, fields) => {
    const target = await issue(userId, []);
    const before = await everything();
    const answers = [
      await call(manager, 'POST', '', { name: 'x', ...(fields as object) }),
      await call(manager, 'PATCH', `/${target.apiKey.id}`, fields),
    ];
    for (const { status, json } of answers)
      expect([status, json]).toMatchObject([
        403,
        { statusCode: 403, error: 'EXCEEDS_API_KEY', missing: expect.any(Array) },
      ]);
    expect(await everything()).toEqual(before);
  });

  it('a caller cannot rotate a key that has more, and cannot give fields in which it is limited', async () => {
    const strong = await issue(userId, ['*']);
    expect((await call(manager, 'POST', `/${strong.apiKey.id}/rotate`, {})).status).toBe(403);
    const bounded = await issue(userId, ['api-keys:*'], { expiresAt: new Date(Date.now() + DAY_MS) });
    const answer = await call(bounded, 'POST', '', { name: 'x', expiresAt: null });
    expect([answer.status, answer.json]).toMatchObject([403, { error: 'EXCEEDS_API_KEY' }]);
  });

  const INVALID_BODIES: [string, unknown][] = [
    ['an owner', { name: 'x', userId: '1' }],
    ['an owner in snake case', { name: 'x', user_id: '1' }],
    ['an id', { name: 'x', id: '1' }],
    ['a digest', { name: 'x', keyDigest: 'a'.repeat(64) }],
    ['a prefix', { name: 'x', keyPrefix: 'a' }],
    ['a revocation', { name: 'x', revokedAt: null }],
    ['a disabling', { name: 'x', disabledAt: null }],
    ['a successor', { name: 'x', replacesId: '1' }],
    ['no name if a name is required', { name: '' }],
    ['a name of null', { name: null }],
    ['a name that is an object', { name: { $ne: null } }],
    ['a name that is a list', { name: ['x'] }],
    ['a name with a control character', { name: 'a\u0000b' }],
    ['a name too long', { name: 'n'.repeat(256) }],
    ['scopes of null', { name: 'x', scopes: null }],
    ['scopes that are text', { name: 'x', scopes: 'orders:read' }],
    ['scopes that nest', { name: 'x', scopes: [['orders:read']] }],
    ['scopes that are objects', { name: 'x', scopes: [{ a: 1 }] }],
    ['an empty scope', { name: 'x', scopes: [''] }],
    ['101 scopes', { name: 'x', scopes: Array.from({ length: 101 }, (_, i) => `orders:${i}`) }],
    ['an expiry in the past', { name: 'x', expiresAt: '2020-01-01T00:00:00Z' }],
    ['an expiry without zone', { name: 'x', expiresAt: '2999-01-01T00:00:00' }],
    ['an expiry that is not a date', { name: 'x', expiresAt: '2999-13-41T00:00:00Z' }],
    ['an expiry in seconds', { name: 'x', expiresAt: 4_102_444_800 }],
    ['an expiry that is an object', { name: 'x', expiresAt: {} }],
    ['a limit without a window', { name: 'x', rateLimit: { limit: 1 } }],
    ['a limit of text', { name: 'x', rateLimit: { limit: '1', windowSeconds: 1 } }],
    ['a limit with another field', { name: 'x', rateLimit: { limit: 1, windowSeconds: 1, burst: 1 } }],
    ['a limit that is a number', { name: 'x', rateLimit: 5 }],
    ['a limit that is a list', { name: 'x', rateLimit: [] }],
    ['a quota without a period', { name: 'x', quota: { limit: 1 } }],
    ['a quota of a week', { name: 'x', quota: { limit: 1, period: 'week' } }],
    ['a quota of 0', { name: 'x', quota: { limit: 0, period: 'day' } }],
    ['a quota that is a number', { name: 'x', quota: 5 }],
    ['addresses that are not a list', { name: 'x', allowedIps: '10.0.0.0/8' }],
    ['an invalid address', { name: 'x', allowedIps: ['10.0.0.256'] }],
    ['no address', { name: 'x', allowedIps: [] }],
    ['metadata that is a list', { name: 'x', metadata: [] }],
    ['metadata that is text', { name: 'x', metadata: 'a' }],
    ['metadata of null', { name: 'x', metadata: null }],
    ['metadata too large', { name: 'x', metadata: { a: 'x'.repeat(17_000) } }],
    ['metadata too deep', `{"name":"x","metadata":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}`],
    ['a prototype', '{"name":"x","__proto__":{"userId":"1"}}'],
    ['a list', []],
    ['null', 'null'],
    ['text', '"x"'],
  ];
  /** The library checks the object that an adapter has parsed, so one adapter suffices for most. */
  const dependsOnAdapter = ([, body]: [string, unknown]) => typeof body === 'string' || Array.isArray(body);

  it.each(
    INVALID_BODIES.filter((each) => adapter === 'express' || dependsOnAdapter(each)),
  )('a body with %s is 400 INVALID_REQUEST and changes nothing', async (_, body) => {
    const target = await issue(userId, []);
    const before = await everything();
    const answers = [
      await call(manager, 'POST', '', body),
      await call(manager, 'PATCH', `/${target.apiKey.id}`, body),
    ];
    for (const { status, json } of answers) {
      expect(status).toBe(400);
      if (typeof body !== 'string')
        expect(json).toEqual({ statusCode: 400, error: 'INVALID_REQUEST', message: expect.any(Array) });
    }
    expect(await everything()).toEqual(before);
  });

  it.each([
    { overlapSeconds: -1 },
    { overlapSeconds: 1.5 },
    { overlapSeconds: '60' },
    { overlapSeconds: 2_592_001 },
    { overlapSeconds: null },
    { overlap: 1 },
  ])('a rotation with %j is 400 and changes nothing', async (body) => {
    const target = await issue(userId, []);
    const before = await everything();
    expect((await call(manager, 'POST', `/${target.apiKey.id}/rotate`, body)).json).toMatchObject({
      error: 'INVALID_REQUEST',
    });
    expect(await everything()).toEqual(before);
  });

  it.each([
    'limit=0',
    'limit=101',
    'limit=x',
    'cursor=x',
    'cursor=-1',
    'state=gone',
    'userId=1',
    'limit[]=1',
    'cursor=1&cursor=2',
  ])('a query of %s is 400', async (query) => {
    expect((await call(manager, 'GET', `?${query}`)).json).toMatchObject({
      statusCode: 400,
      error: 'INVALID_REQUEST',
    });
  });
});

describe('keys over REST', () => {
  let database: string;
  let userId: string;
  let app: TestApp | undefined;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    userId = await createUser(database);
  });
  afterEach(() => app?.close());

  async function boot(management: ApiKeyManagementOptions) {
    app = await bootApp({ database, imports: [ApiKeyManagementModule.forRoot(management)] });
    return app;
  }
  const post = (url: string, headers: Record<string, string> = {}) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ name: 'ci' }),
    });

  it('without a guard list the keys of all owners, and create keys for the owner that the application gives', async () => {
    const { url, keys } = await boot({ guards: 'open', path: 'all', acting: () => ({ userId }) });
    const made = await post(`${url}/all`);
    expect(made.status).toBe(201);
    expect(await keys.verify(((await made.json()) as { key: string }).key)).toMatchObject({
      ok: true,
      apiKey: { userId },
    });
  });

  it('without a guard cannot be created without an owner', async () => {
    const { url, keys } = await boot({ guards: 'open' });
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    expect((await fetch(`${url}/api-keys/${apiKey.id}`)).status).toBe(200);
    expect(await (await post(`${url}/api-keys`)).json()).toMatchObject({ error: 'INVALID_REQUEST' });
  });

  it('behind guards of the application are refused for a request without a key', async () => {
    const letsAllIn = { canActivate: () => true };
    const { url, keys } = await boot({ guards: [letsAllIn], scopes: null });
    const before = await keys.list();
    for (const answer of [await fetch(`${url}/api-keys`), await post(`${url}/api-keys`)])
      expect([answer.status, await answer.json()]).toEqual([
        401,
        expect.objectContaining({ error: 'MISSING_API_KEY' }),
      ]);
    expect(await keys.list()).toEqual(before);
  });

  it('get no scopes if none are requested', async () => {
    const { url, keys } = await boot({ guards: [ApiKeyGuard, ScopesGuard], scopes: null });
    const { key } = await keys.create({ userId, name: 'ci' });
    expect((await post(`${url}/api-keys`, { authorization: `Bearer ${key}` })).status).toBe(201);
  });

  it('answer 503 with Retry-After if the key store is unavailable', async () => {
    const { url } = await boot({ guards: 'open' });
    await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
    const answer = await fetch(`${url}/api-keys`);
    await sql(database, 'ALTER TABLE elsewhere RENAME TO api_keys');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)]);
  });

  it('rotate with the default overlap if there is no body', async () => {
    const { url, keys } = await boot({ guards: 'open', acting: () => ({ userId }) });
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    const answer = await fetch(`${url}/api-keys/${apiKey.id}/rotate`, { method: 'POST' });
    expect([answer.status, await answer.json()]).toEqual([
      201,
      expect.objectContaining({ replaces: apiKey.id }),
    ]);
  });
});

describe.each(ADAPTERS)('a refusal of keys over REST, on %s,', (adapter) => {
  const PROBLEM = 'application/problem+json';
  let database: string;
  let userId: string;
  let app: TestApp;
  let unguarded: TestApp;
  let manager: IssuedApiKey;

  const letsAllIn = { canActivate: () => true };
  const boot = (management: ApiKeyManagementOptions) =>
    bootApp({
      database,
      adapter,
      imports: [ApiKeyManagementModule.forRoot(management)],
      options: { realm: 'acme' },
    });

  beforeAll(async () => {
    database = await createMigratedDatabase();
    userId = await createUser(database);
    app = await boot({ guards: [ApiKeyGuard, ScopesGuard] });
    unguarded = await boot({ guards: [letsAllIn], scopes: null });
    const expiresAt = new Date(Date.now() + DAY_MS);
    manager = await app.keys.create({ userId, name: 'ci', scopes: ['api-keys:*'], expiresAt });
  });

  afterAll(() => Promise.all([app.close(), unguarded.close()]));

  async function ask({ url }: TestApp, method: string, path: string, body?: object, accept = '*/*') {
    const response = await fetch(`${url}/api-keys${path}`, {
      method,
      headers: {
        authorization: `Bearer ${manager.key}`,
        accept,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    return {
      status: response.status,
      challenge: response.headers.get('www-authenticate'),
      type: response.headers.get('content-type'),
      json: (await response.json()) as Record<string, unknown>,
    };
  }

  it('has the challenge of a guard if the guards are not from this library', async () => {
    expect(await ask(unguarded, 'GET', '')).toMatchObject({
      status: 401,
      challenge: 'Bearer realm="acme"',
      json: { statusCode: 401, error: 'MISSING_API_KEY' },
    });
  });

  it('has the challenge also if a guard of the application refuses', async () => {
    const letsNobodyIn = {
      canActivate() {
        throw new ApiKeyRefusal('INVALID_API_KEY');
      },
    };
    const own = await boot({ guards: [letsNobodyIn], scopes: null });
    const answer = await ask(own, 'GET', '');
    await own.close();
    expect([answer.status, answer.challenge]).toEqual([401, 'Bearer realm="acme", error="invalid_token"']);
  });

  it('lists each scope that the caller cannot give, and has no challenge for another key', async () => {
    expect(await ask(app, 'POST', '', { name: 'x', scopes: ['*', 'api-keys:read', 'a:b'] })).toEqual({
      status: 403,
      challenge: null,
      type: expect.stringMatching(/^application\/json/),
      json: {
        statusCode: 403,
        error: 'EXCEEDS_API_KEY',
        message: expect.any(String),
        missing: ['*', 'a:b'],
      },
    });
  });

  it('lists many scopes only in the body, because clients limit the length of headers', async () => {
    const scopes = Array.from({ length: 100 }, (_, i) => `${i}:`.padEnd(255, 'x'));
    expect(await ask(app, 'POST', '', { name: 'x', scopes })).toMatchObject({
      status: 403,
      challenge: null,
      json: { missing: scopes },
    });
  });

  it('has a code if the key does not exist', async () => {
    expect(await ask(app, 'GET', '/999999')).toMatchObject({
      status: 404,
      json: { statusCode: 404, error: 'NOT_FOUND', message: 'There is no such API key.' },
    });
  });

  describe(`is a problem document for callers that accept ${PROBLEM}:`, () => {
    it.each<[string, () => Promise<Awaited<ReturnType<typeof ask>>>, number, string, object]>([
      [
        'MISSING_API_KEY',
        () => ask(unguarded, 'GET', '', undefined, PROBLEM),
        401,
        'Unauthorized',
        { detail: expect.stringContaining('No API key') },
      ],
      [
        'EXCEEDS_API_KEY',
        () => ask(app, 'POST', '', { name: 'x', scopes: ['*'] }, PROBLEM),
        403,
        'Forbidden',
        { missing: ['*'] },
      ],
      [
        'EXCEEDS_API_KEY',
        () => ask(app, 'POST', '', { name: 'x', expiresAt: null }, PROBLEM),
        403,
        'Forbidden',
        { detail: 'expiresAt exceeds that of the acting key' },
      ],
      [
        'INVALID_REQUEST',
        () => ask(app, 'POST', '', { name: 1, id: 1 }, PROBLEM),
        400,
        'Bad Request',
        { detail: expect.stringMatching(/^id cannot be set; name must be a string$/) },
      ],
      [
        'NOT_FOUND',
        () => ask(app, 'DELETE', '/x', undefined, PROBLEM),
        404,
        'Not Found',
        { detail: 'There is no such API key.' },
      ],
      [
        'CONFLICT',
        async () => {
          const { apiKey } = await app.keys.create({ userId, name: 'ci' });
          await app.keys.revoke(apiKey.id);
          return ask(app, 'PATCH', `/${apiKey.id}`, { name: 'x' }, PROBLEM);
        },
        409,
        'Conflict',
        { detail: expect.any(String) },
      ],
    ])('%s', async (error, answer, status, title, more) => {
      const { type, json, ...rest } = await answer();
      expect([rest.status, type?.startsWith(PROBLEM)]).toEqual([status, true]);
      expect(json).toEqual({
        type: 'about:blank',
        title,
        status,
        detail: expect.any(String),
        error,
        ...more,
      });
    });
  });
});

/** Another way to log in: a header names the user. */
const sessionOf = (context: ExecutionContext): string | undefined =>
  context.switchToHttp().getRequest().headers['x-session'];
const SESSION_GUARD: CanActivate = { canActivate: (context) => sessionOf(context) !== undefined };

describe.each(ADAPTERS)('keys over REST, on %s,', (adapter) => {
  const BY_KEY: ApiKeyManagementOptions = { guards: [ApiKeyGuard, ScopesGuard] };
  const BY_SESSION: ApiKeyManagementOptions = {
    guards: [SESSION_GUARD],
    scopes: null,
    acting: (context) => ({ userId: sessionOf(context) }) as Acting,
  };
  let database: string;
  let userId: string;
  let otherId: string;
  let app: TestApp | undefined;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    [userId, otherId] = [await createUser(database), await createUser(database)];
  });
  afterEach(() => app?.close());

  const FIELDS = ['userId', 'user_id', 'UserId', 'owner', 'ownerId', 'owner_id', 'user', 'apiKey', 'acting'];

  /** Fields by which a body could name the other owner. */
  const naming = (): object[] => [
    ...FIELDS.map((field) => ({ [field]: otherId })),
    ...FIELDS.map((field) => ({ [field]: { id: Number(otherId), userId: otherId } })),
    { userId: otherId, user_id: otherId, owner: otherId },
  ];

  const stored = () =>
    sql(
      database,
      `SELECT to_jsonb(k) - 'last_used_at' AS key, (SELECT count(*) FROM api_key_events) AS events FROM api_keys k ORDER BY id`,
    );

  it.each<[string, ApiKeyManagementOptions, (key: string) => Record<string, string>, number, number]>([
    ['nobody', BY_KEY, () => ({}), 401, 401],
    ['an anonymous caller without a guard', { guards: 'open' }, () => ({}), 400, 400],
    ['a user that another guard accepted', BY_SESSION, () => ({ 'x-session': userId }), 400, 201],
    ['a key', BY_KEY, (key) => ({ authorization: `Bearer ${key}` }), 400, 201],
  ])('a body with another owner is refused from %s, and nothing is stored', async (_, management, headersFor, refused, own) => {
    const options = { audit: { refused: 'off' } } as const;
    app = await bootApp({
      database,
      adapter,
      options,
      imports: [ApiKeyManagementModule.forRoot(management)],
    });
    const { key, apiKey } = await app.keys.create({ userId, name: 'ci', scopes: ['api-keys:*'] });
    const send = (method: string, path: string, body: object) =>
      fetch(`${app?.url}/api-keys${path}`, {
        method,
        headers: { 'content-type': 'application/json', ...headersFor(key) },
        body: JSON.stringify(body),
      });
    const before = await stored();
    for (const owner of naming()) {
      const answers = [
        await send('POST', '', { name: 'x', ...owner }),
        await send('PATCH', `/${apiKey.id}`, { name: 'x', ...owner }),
        await send('POST', `/${apiKey.id}/rotate`, { overlapSeconds: 60, ...owner }),
      ];
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => refused));
    }
    expect(await stored()).toEqual(before);
    const made = await send('POST', '', { name: 'x' });
    expect(made.status).toBe(own);
    if (own === 201)
      expect(await app.keys.get(((await made.json()) as { id: string }).id)).toMatchObject({ userId });
  });
});
