import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import type { HeldScope } from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { type Sample, startSample } from './support/sample';
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

  async function call(path: string, key?: string, body?: unknown, contentType = 'application/json') {
    const response = await fetch(sample.url + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { ...(key && { 'x-api-key': key }), 'content-type': contentType },
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

  it('shows each user only their own orders, in pages', async () => {
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

  it('requires orders:read and orders:write on the declared routes', async () => {
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

  it('shows no data of one user to another: not in lists, not by id, not by cursor', async () => {
    const mine = await issue('tenant-a@example.com', ['orders:*']);
    const other = await issue('tenant-b@example.com', ['orders:*']);
    const order = async (key: string, item: string): Promise<string> =>
      (await call('/orders', key, { item, quantity: 1 })).json.id;
    const theirs = [await order(other.key, 'b1')];
    const ids = [await order(mine.key, 'a1'), await order(mine.key, 'a2')];
    theirs.unshift(await order(other.key, 'b2'));
    const pages = async (query: string) => (await call(`/orders?${query}`, other.key)).json;
    const idsOf = ({ items }: { items: Issued[] }) => items.map(({ id }) => id);
    expect(idsOf(await pages(''))).toEqual(theirs);
    const first = await pages('limit=1');
    expect(first.nextCursor).toBe(theirs[0]);
    expect(await pages(`limit=1&cursor=${first.nextCursor}`)).toEqual({
      items: [expect.objectContaining({ id: theirs[1] })],
      nextCursor: null,
    });
    for (const id of ids) {
      expect((await call(`/orders/${id}`, other.key)).status).toBe(404);
      expect(idsOf(await pages(`cursor=${id}`))).toEqual(theirs.slice(1));
    }
    expect((await call(`/orders/${ids[0]}`, other.key)).text).toBe(
      (await call('/orders/999999', other.key)).text,
    );
  });

  it.each([
    '0',
    '-1',
    '01',
    'x',
    '1e3',
    '0x1',
    '1.0',
    '9223372036854775808',
    '99999999999999999999',
    '9'.repeat(101),
    '9'.repeat(5_000),
    '%00',
    '%20',
    '1%20',
    '%zz',
    '%ff',
    '%',
    "1'--",
  ])('answers 404 for an order of the id %.30s', async (id) => {
    const { key } = await issue('ids@example.com', ['orders:read']);
    const { status, json } = await call(`/orders/${id}`, key);
    expect({ status, json }).toEqual({
      status: 404,
      json: { statusCode: 404, error: 'Not Found', message: expect.not.stringContaining(id) },
    });
  });

  it.each([
    ['an unknown field', { item: 'tea', quantity: 1, note: 'tr4ce' }],
    ['an unknown field that could be a key', { item: 'tea', quantity: 1, ['tr4ce'.repeat(8)]: '1' }],
    ['a foreign owner', { item: 'tea', quantity: 1, user: { id: '1' } }],
    ['a field that every object has', { item: 'tea', quantity: 1, toString: 'tr4ce' }],
    ['a constructor', { item: 'tea', quantity: 1, constructor: { tr4ce: 1 } }],
    ['a prototype', { item: 'tea', quantity: 1, prototype: { tr4ce: 1 } }],
    ['a __proto__', '{"item":"tea","quantity":1,"__proto__":{"tr4ce":1}}'],
    ['its fields in a __proto__', '{"__proto__":{"item":"tea","quantity":1}}'],
    ['a list around it', [{ item: 'tea', quantity: 1 }]],
    ['no item', { quantity: 1 }],
    ['an empty item', { item: '', quantity: 1 }],
    ['an item of 256 characters', { item: 'tr4ce'.padEnd(256, '.'), quantity: 1 }],
    ['an item with NUL', { item: 'tr4ce\0b', quantity: 1 }],
    ['an item with half a character', { item: 'tr4ce\ud800', quantity: 1 }],
    ['an item that is an object', { item: { tr4ce: 1 }, quantity: 1 }],
    ['an item that is a list', { item: ['tr4ce'], quantity: 1 }],
    ['an item that is a number', { item: 4_711, quantity: 1 }],
    ['an item that is null', { item: null, quantity: 1 }],
    ['no quantity', { item: 'tea' }],
    ['a quantity of 0', { item: 'tea', quantity: 0 }],
    ['a quantity beyond the column', { item: 'tea', quantity: 1e12 }],
    ['a quantity beyond all numbers', '{"item":"tea","quantity":1e400}'],
    ['half a quantity', { item: 'tea', quantity: 1.5 }],
    ['a quantity in text', { item: 'tea', quantity: '1' }],
    ['a quantity of NaN in text', { item: 'tea', quantity: 'NaN' }],
    ['a quantity of NaN', '{"item":"tr4ce","quantity":NaN}'],
    ['an empty list', []],
    ['null', 'null'],
    ['a text', '"tr4ce"'],
    ['a number', '4711'],
    ['broken JSON', '{"item":"tr4ce'],
    ['JSON with a syntax error at a word', '{"item":tr4ce}'],
    ['no JSON at all', 'tr4ce'],
    ['nothing', ''],
    ['5,000 nested lists', '['.repeat(5_000) + ']'.repeat(5_000)],
    ['5,000 nested objects', `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`],
    ['as many nested lists as fit', '['.repeat(50_000) + ']'.repeat(50_000)],
    ['an item of 5,000 lists', `{"quantity":1,"item":${'['.repeat(5_000)}${']'.repeat(5_000)}}`],
  ])('answers 400 INVALID_REQUEST for a body with %s, echoes none of it, and stores nothing', async (_, body) => {
    const { key } = await issue(`${randomUUID()}@example.com`, ['orders:*']);
    const { status, json, text } = await call('/orders', key, body);
    expect({ status, json }).toEqual({
      status: 400,
      json: {
        statusCode: 400,
        error: 'INVALID_REQUEST',
        message: expect.arrayContaining([expect.any(String)]),
      },
    });
    expect(text).not.toMatch(/tr4ce|4711|null|NaN|__proto__|toString/);
    expect((await call('/orders', key)).json.items).toEqual([]);
  });

  it.each([
    ['text/plain', '{"item":"tr4ce","quantity":1}'],
    ['application/xml', '<item>tr4ce</item>'],
    ['application/x-www-form-urlencoded', '{"item":"tr4ce","quantity":1}'],
    ['application/x-www-form-urlencoded', 'item=tr4ce&quantity=1'],
    ['application/x-www-form-urlencoded', `tr4ce${'[a]'.repeat(3_000)}=1`],
    ['multipart/form-data; boundary=tr4ce', '--tr4ce'],
    ['application/json; charset=tr4ce', '{"item":"tr4ce","quantity":0}'],
    ['application/json; charset=utf-16', '{"item":"tr4ce","quantity":0}'],
    ['tr4ce', '{"item":"tr4ce","quantity":1}'],
  ])('refuses a body of the type %s, echoes none of it, and stores nothing', async (contentType, body) => {
    const { key } = await issue(`${randomUUID()}@example.com`, ['orders:*']);
    const { status, text } = await call('/orders', key, body, contentType);
    expect([400, 415]).toContain(status);
    expect(text).not.toContain('tr4ce');
    expect((await call('/orders', key)).json.items).toEqual([]);
  });

  it('names an unknown field in the answer, because it may be a typing error', async () => {
    const { key } = await issue('slip@example.com', ['orders:*']);
    expect((await call('/orders', key, { item: 'tea', quantity: 1, colour: 'green' })).json).toEqual({
      statusCode: 400,
      error: 'INVALID_REQUEST',
      message: ['colour is not a field of this request'],
    });
  });

  it('refuses a body that is too long with 413', async () => {
    const { key } = await issue('long@example.com', ['orders:*']);
    const { status, json } = await call('/orders', key, { item: 'x'.repeat(2_000_000), quantity: 1 });
    expect({ status, json }).toMatchObject({ status: 413, json: { statusCode: 413 } });
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
    '__proto__=1',
    'constructor=1',
  ])('answers 400 for the query %s', async (query) => {
    const { key } = await issue('queries@example.com', ['orders:read']);
    expect(await call(`/orders?${query}`, key)).toMatchObject({
      status: 400,
      json: { error: 'INVALID_REQUEST' },
    });
  });

  it('prints no key and no digest for any request', async () => {
    const { key } = await issue('log@example.com', ['orders:read']);
    await call('/me', key);
    await call('/me', `${key}x`);
    expect(sample.output()).not.toContain(key.slice(-20));
  });

  it('answers a request in flight at SIGTERM, writes its use, and ends with 0', async () => {
    const { id, key } = await issue('flight@example.com', ['orders:write']);
    const socket = connect(sample.port, '127.0.0.1').on('error', () => {});
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk));
    const body = '{"item":"tea","quantity":1}';
    socket.write(
      `POST /orders HTTP/1.1\r\nHost: a\r\nX-API-Key: ${key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    await until(() => answer.includes('100 Continue'));
    sample.process.kill('SIGTERM');
    await until(async () => !(await canConnect(sample.port)));
    socket.write(body);
    await until(() => answer.includes('"quantity":1'));
    expect(answer).toContain('HTTP/1.1 201');
    expect(await sample.stop()).toBe(0);
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
