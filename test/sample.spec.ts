import { connect } from 'node:net';
import type { HeldScope } from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createEmptyDatabase, createMigratedDatabase, createUser, sql } from './support/database';
import { flakyProxy } from './support/flaky-proxy';
import { runKeys, type Sample, startSample } from './support/sample';
import { until } from './support/until';

interface Issued {
  readonly id: string;
  readonly key: string;
}

describe.each(ADAPTERS)('the sample app on %s', (adapter) => {
  let database: string;
  let sample: Sample;
  let issuer: TestApp;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    issuer = await bootApp({ database, options: { prefix: 'acme_live' } });
    sample = await startSample({ DATABASE_URL: database, HTTP_ADAPTER: adapter });
  });

  afterAll(async () => {
    await sample?.stop();
    await issuer?.close();
  });

  async function issue(email: string, scopes: HeldScope[], expiresAt?: Date): Promise<Issued> {
    const [user] = await sql<{ id: string }>(database, 'SELECT id FROM users WHERE email = $1', [email]);
    const userId = user?.id ?? (await createUser(database, email));
    const { key, apiKey } = await issuer.keys.create({ userId, name: 'ci', scopes, expiresAt });
    return { key, id: apiKey.id };
  }

  async function call(path: string, key?: string, body?: unknown) {
    const response = await fetch(sample.url + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { ...(key && { 'x-api-key': key }), 'content-type': 'application/json' },
      body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, text, json: text.startsWith('{') ? JSON.parse(text) : undefined };
  }

  it('answers /health without a key', async () => {
    expect(await call('/health')).toMatchObject({ status: 200, json: { status: 'ok' } });
  });

  it('answers /me with the user and the key, masked', async () => {
    const { id, key } = await issue('me@example.com', ['orders:read'], new Date(Date.now() + 60_000));
    const { status, json, text } = await call('/me', key);
    expect({ status, json }).toEqual({
      status: 200,
      json: {
        user: { id: expect.any(String), email: 'me@example.com' },
        apiKey: {
          id,
          name: 'ci',
          masked: expect.stringMatching(/^acme_live_.{4}\.\.\..{4}$/),
          scopes: ['orders:read'],
          expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        },
      },
    });
    expect(text).not.toContain(key);
  });

  it('shows each user their own orders only, in pages', async () => {
    const mine = await issue('mine@example.com', ['orders:*']);
    const other = await issue('other@example.com', ['orders:*']);
    const ids: string[] = [];
    for (const item of ['a', 'b', 'c'])
      ids.unshift((await call('/orders', mine.key, { item, quantity: 1 })).json.id);
    const first = (await call('/orders?limit=2', mine.key)).json;
    const second = (await call(`/orders?limit=2&cursor=${first.nextCursor}`, mine.key)).json;
    expect([...first.items, ...second.items].map((order: Issued) => order.id)).toEqual(ids);
    expect(second.nextCursor).toBeNull();
    expect((await call(`/orders/${ids[0]}`, mine.key)).json).toMatchObject({
      id: ids[0],
      item: 'c',
      quantity: 1,
    });
    expect((await call(`/orders/${ids[0]}`, other.key)).status).toBe(404);
    expect((await call('/orders', other.key)).json).toEqual({ items: [], nextCursor: null });
  });

  it('asks for orders:read and orders:write where it says so', async () => {
    const reader = await issue('scopes@example.com', ['orders:read']);
    const writer = await issue('scopes@example.com', ['orders:write']);
    const order = { item: 'tea', quantity: 1 };
    expect([
      (await call('/orders', reader.key)).status,
      (await call('/orders', reader.key, order)).status,
    ]).toEqual([200, 403]);
    expect([
      (await call('/orders', writer.key)).status,
      (await call('/orders', writer.key, order)).status,
    ]).toEqual([403, 201]);
  });

  it.each([
    '0',
    '-1',
    'x',
    '1e3',
    '9223372036854775808',
    '99999999999999999999',
    '%00',
    '1%20',
    "1'--",
  ])('answers 404 for an order of the id %s', async (id) => {
    const { key } = await issue('ids@example.com', ['orders:read']);
    expect((await call(`/orders/${id}`, key)).status).toBe(404);
  });

  it.each([
    ['an unknown field', { item: 'tea', quantity: 1, userId: '1' }],
    ['a foreign owner', { item: 'tea', quantity: 1, user: { id: '1' } }],
    ['no item', { quantity: 1 }],
    ['an empty item', { item: '', quantity: 1 }],
    ['an item with NUL', { item: 'a\0b', quantity: 1 }],
    ['an item that is an object', { item: { a: 1 }, quantity: 1 }],
    ['a quantity of 0', { item: 'tea', quantity: 0 }],
    ['a quantity beyond the column', { item: 'tea', quantity: 1e12 }],
    ['a quantity in text', { item: 'tea', quantity: '1' }],
    ['a list', []],
    ['null', 'null'],
    ['a text', '"tea"'],
    ['broken JSON', '{"item":'],
    ['nothing', ''],
  ])('answers 400 INVALID_REQUEST for a body with %s, and stores nothing', async (_, body) => {
    const { key } = await issue('bodies@example.com', ['orders:*']);
    const { status, json } = await call('/orders', key, body);
    expect({ status, json }).toEqual({
      status: 400,
      json: {
        statusCode: 400,
        error: 'INVALID_REQUEST',
        message: expect.arrayContaining([expect.any(String)]),
      },
    });
    expect((await call('/orders', key)).json.items).toEqual([]);
  });

  it.each([
    'limit=0',
    'limit=101',
    'limit=x',
    'limit=1&limit=2',
    'limit[]=1',
    'cursor=x',
    'cursor=99999999999999999999',
    'cursor=1&cursor=2',
    'page=1',
  ])('answers 400 for the query %s', async (query) => {
    const { key } = await issue('queries@example.com', ['orders:read']);
    expect(await call(`/orders?${query}`, key)).toMatchObject({
      status: 400,
      json: { error: 'INVALID_REQUEST' },
    });
  });

  it('prints no key and no digest, whatever was asked of it', async () => {
    const { key } = await issue('log@example.com', ['orders:read']);
    await call('/me', key);
    await call('/me', `${key}x`);
    expect(sample.output()).not.toContain(key.slice(-20));
  });

  it('answers a request in flight at SIGTERM, writes its use, and ends with 0', async () => {
    const own = await startSample({ DATABASE_URL: database, HTTP_ADAPTER: adapter });
    const { id, key } = await issue('flight@example.com', ['orders:write']);
    const socket = connect(own.port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk));
    const body = '{"item":"tea","quantity":1}';
    socket.write(
      `POST /orders HTTP/1.1\r\nHost: a\r\nX-API-Key: ${key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    await until(() => answer.includes('100 Continue'));
    own.process.kill('SIGTERM');
    await until(async () => !(await canConnect(own.port)));
    socket.write(body);
    await until(() => answer.includes('"quantity":1'));
    expect(answer).toContain('HTTP/1.1 201');
    expect(await own.stop()).toBe(0);
    const [row] = await sql(
      database,
      'SELECT last_used_at IS NOT NULL AS written FROM api_keys WHERE id = $1',
      [id],
    );
    expect(row).toEqual({ written: true });
  });
});

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    }).on('error', () => resolve(false));
  });
}

it('two instances on one fresh database start at once, make one demo key, and serve each other’s keys', async () => {
  const database = await createEmptyDatabase();
  const instances = await Promise.all([
    startSample({ DATABASE_URL: database }),
    startSample({ DATABASE_URL: database }),
  ]);
  const outputs = () => instances.map((instance) => instance.output());
  await until(() => outputs().join().includes('curl -H'));
  const key = /acme_live_\w+/.exec(outputs().join())?.[0] ?? '';
  const answers = await Promise.all(
    instances.map(({ url }) => fetch(`${url}/orders`, { headers: { 'x-api-key': key } })),
  );
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  expect(await sql(database, 'SELECT FROM api_keys')).toHaveLength(1);
  await runKeys(['revoke', '1'], { DATABASE_URL: database });
  const afterwards = await Promise.all(
    instances.map(({ url }) => fetch(`${url}/orders`, { headers: { 'x-api-key': key } })),
  );
  expect(afterwards.map(({ status }) => status)).toEqual([401, 401]);
  await Promise.all(instances.map((instance) => instance.stop()));
});

it.each([
  ['PORT', 'x', /PORT must be a number/],
  ['HTTP_ADAPTER', 'koa', /HTTP_ADAPTER must be express or fastify/],
  ['API_KEY_FORMAT', 'uuid', /API_KEY_FORMAT must be checksummed or hex/],
  ['TRUST_PROXY', 'true', /option "trustProxy" must be a list of addresses or CIDR blocks/],
  ['TRUST_PROXY', '1', /option "trustProxy" must be a list of addresses or CIDR blocks/],
  ['DATABASE_URL', 'postgres://127.0.0.1:1/none', /ECONNREFUSED/],
])('a wrong %s of %s ends the start with a sentence', async (name, value, message) => {
  const database = await createMigratedDatabase();
  await expect(startSample({ DATABASE_URL: database, [name]: value })).rejects.toThrow(message);
});

it('while the database is away /health and guarded routes answer 503, never 500 or 401, and then recover', async () => {
  const proxy = await flakyProxy(await createEmptyDatabase());
  const sample = await startSample({ DATABASE_URL: proxy.url });
  await until(() => sample.output().includes('curl -H'));
  const key = /acme_live_\w+/.exec(sample.output())?.[0] ?? '';
  const statuses = async () => [
    (await fetch(`${sample.url}/health`)).status,
    (await fetch(`${sample.url}/orders`, { headers: { 'x-api-key': key } })).status,
    (await fetch(`${sample.url}/orders`)).status,
  ];
  expect(await statuses()).toEqual([200, 200, 401]);
  await proxy.cut();
  expect(await statuses()).toEqual([503, 503, 401]);
  await proxy.mend();
  expect(await statuses()).toEqual([200, 200, 401]);
  await sample.stop();
  await proxy.cut();
});
