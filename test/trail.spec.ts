import { connect, type Socket } from 'node:net';
import { Controller, Get, Logger } from '@nestjs/common';
import { EventEmitter2, EventEmitterModule } from '@nestjs/event-emitter';
import {
  ApiKeyAuth,
  type ApiKeyEvent,
  type ApiKeyEventMap,
  type ApiKeyOptions,
  type AuditOptions,
  type RecordedApiKeyEvent,
} from 'nestjs-api-key';
import { ADAPTERS, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { flakyProxy } from './support/flaky-proxy';
import { rawGet } from './support/raw-http';
import { floodTrail } from './support/trail-flood';
import { until } from './support/until';

@Controller()
class Routes {
  @Get('any')
  @ApiKeyAuth()
  any() {}

  @Get('write')
  @ApiKeyAuth('orders:write')
  write() {}
}

let database: string;
let userId: string;
let running: TestApp | undefined;

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  await running?.close();
  running = undefined;
});

async function boot(
  audit: AuditOptions = {},
  more: object = {},
  options: ApiKeyOptions = {},
): Promise<TestApp> {
  running = await bootApp({
    database,
    controllers: [Routes],
    ...more,
    options: { https: { trustProxy: ['127.0.0.0/8'] }, ...options, audit: { flushIntervalMs: 10, ...audit } },
  });
  return running;
}

const issue = (app: TestApp, fields: object = {}) => app.keys.create({ userId, name: 'ci', ...fields });
const typesOf = async (app: TestApp, id: string) =>
  (await app.keys.events(id))?.items.map(({ type }) => type);

interface Refused {
  readonly reason: string;
  readonly key_id: string | null;
  readonly masked: string | null;
  readonly address: string | null;
}

async function refusals(count: number): Promise<Refused[]> {
  const read = () =>
    sql<Refused>(
      database,
      `SELECT details->>'reason' AS reason, key_id, masked, address FROM api_key_events WHERE type = 'refused' ORDER BY id`,
    );
  await until(async () => (await read()).length >= count);
  return read();
}

describe('a change is recorded in the audit trail', () => {
  it('with its actor, address, request id and changed fields', async () => {
    const app = await boot();
    const acting = { userId, address: '192.0.2.7', requestId: 'r-1' };
    const { apiKey } = await app.keys.create({ userId, name: 'ci' }, acting);
    await app.keys.update(apiKey.id, { name: 'new', metadata: { a: 1 } }, { ...acting, requestId: 'r-2' });
    const events = (await app.keys.events(apiKey.id))?.items as RecordedApiKeyEvent[];
    const common = {
      keyId: apiKey.id,
      userId,
      masked: apiKey.masked,
      actor: { type: 'user', id: userId },
      address: '192.0.2.7',
    };
    expect(events).toEqual([
      {
        ...common,
        id: expect.any(String),
        type: 'updated',
        requestId: 'r-2',
        at: expect.any(Date),
        details: { changes: { name: { old: 'ci', new: 'new' }, metadata: { old: {}, new: { a: 1 } } } },
      },
      {
        ...common,
        id: expect.any(String),
        type: 'created',
        requestId: 'r-1',
        at: expect.any(Date),
        details: { replacesId: null, ancestorIds: [] },
      },
    ]);
  });

  it('for a rotation on the old and on the new key', async () => {
    const app = await boot();
    const { apiKey } = await issue(app);
    const rotated = await app.keys.rotate(apiKey.id, { overlapSeconds: 60 }, { apiKey });
    const [event] = (await app.keys.events(apiKey.id))?.items ?? [];
    expect(event).toMatchObject({
      type: 'rotated',
      actor: { type: 'key', id: apiKey.id },
      details: { successorId: rotated?.apiKey.id, overlapSeconds: 60 },
    });
    const [created] = (await app.keys.events(rotated?.apiKey.id ?? ''))?.items ?? [];
    expect(created).toMatchObject({ type: 'created', details: { replacesId: apiKey.id } });
  });

  it('and the record outlives the key', async () => {
    const app = await boot();
    const { apiKey } = await issue(app);
    await app.keys.revoke(apiKey.id, { reason: 'leaked' }, { actor: { type: 'cli', id: 'root' } });
    await app.keys.delete(apiKey.id);
    const items = (await app.keys.events(apiKey.id))?.items ?? [];
    expect(items.map(({ type }) => type)).toEqual(['deleted', 'revoked', 'created']);
    expect(items[1]).toMatchObject({ actor: { type: 'cli', id: 'root' }, details: { reason: 'leaked' } });
    expect(await app.keys.events(apiKey.id, {}, { userId: 'another' })).toBeNull();
    expect((await app.keys.events(apiKey.id, {}, { userId }))?.items).toHaveLength(3);
  });

  it('once: an update without changes and a second revocation record nothing', async () => {
    const app = await boot();
    const { apiKey } = await issue(app);
    await app.keys.update(apiKey.id, { name: 'ci' });
    await app.keys.update(apiKey.id, {});
    await app.keys.revoke(apiKey.id);
    await app.keys.revoke(apiKey.id);
    expect(await typesOf(app, apiKey.id)).toEqual(['revoked', 'created']);
  });

  it.each([
    'created',
    'updated',
    'rotated',
    'deleted',
  ])('or rolled back, except a revocation, if the trail refuses "%s"', async (type) => {
    const app = await boot();
    const { key, apiKey } = await issue(app);
    await sql(
      database,
      `ALTER TABLE api_key_events ADD CONSTRAINT full_disk CHECK (type <> '${type}') NOT VALID`,
    );
    const before = await sql(database, 'SELECT * FROM api_keys ORDER BY id');
    const changes: Record<string, () => Promise<unknown>> = {
      created: () => issue(app),
      updated: () => app.keys.update(apiKey.id, { name: 'x' }),
      rotated: () => app.keys.rotate(apiKey.id),
      deleted: () => app.keys.delete(apiKey.id),
    };
    await expect(changes[type]?.()).rejects.toThrow();
    expect(await sql(database, 'SELECT * FROM api_keys ORDER BY id')).toEqual(before);
    expect(await app.keys.verify(key)).toMatchObject({ ok: true });
  });

  it('in pages, newest first', async () => {
    const app = await boot();
    const { apiKey } = await issue(app);
    for (const name of ['a', 'b', 'c']) await app.keys.update(apiKey.id, { name });
    const first = await app.keys.events(apiKey.id, { limit: 3 });
    const second = await app.keys.events(apiKey.id, { limit: 3, cursor: first?.nextCursor ?? null });
    expect([first?.items.length, second?.items.map(({ type }) => type)]).toEqual([3, ['created']]);
    expect(second?.nextCursor).toBeNull();
  });
});

describe.each(ADAPTERS)('on %s, a refused request is recorded', (adapter) => {
  it.each([
    ['r-1/a.b:c=d+e', 'r-1/a.b:c=d+e'],
    ['two words', null],
    ['a'.repeat(49), null],
    ['r-1%0a', null],
    ['r-1\u00e9', null],
    ['<script>', null],
  ])('with its request id, and without an id that may be something else: %j', async (id, told) => {
    const app = await boot({}, { adapter });
    await rawGet(app.port, '/any', ['Authorization: Bearer not-a-key', `X-Request-Id: ${id}`]);
    const read = () => sql(database, `SELECT request_id FROM api_key_events WHERE type = 'refused'`);
    await until(async () => (await read()).length > 0);
    const [{ request_id: written }] = (await read()) as [{ request_id: string | null }];
    expect(written === null || /^req-\w+$/.test(written) ? null : written).toBe(told);
  });

  it('with the address of its caller, also if the caller disconnected before the refusal', async () => {
    const [loading, loaded] = [signal(), signal()];
    const loadUser = async () => {
      loading.give();
      await loaded.given;
      return null;
    };
    const app = await boot({}, { adapter }, { loadUser, https: { allowInsecureHttp: true } });
    const { key } = await issue(app);
    await until(async () => (await app.keys.verify(key)).ok && app.keys.verificationStatus.cacheSize === 1);
    const closed = new Promise((resolve) =>
      app.app.getHttpServer().once('connection', (socket: Socket) => socket.once('close', resolve)),
    );
    const caller = connect(app.port, '127.0.0.1').on('error', () => {});
    caller.write(`GET /any HTTP/1.1\r\nHost: a\r\nX-API-Key: ${key}\r\n\r\n`);
    await loading.given;
    caller.resetAndDestroy();
    await closed;
    loaded.give();
    expect(await refusals(1)).toMatchObject([{ reason: 'owner', address: '127.0.0.1' }]);
  });

  it('with its exact reason, which the caller does not get, after the request', async () => {
    const app = await boot({}, { adapter });
    const live = await issue(app);
    const expired = await issue(app);
    const revoked = await issue(app);
    const disabled = await issue(app);
    const elsewhere = await issue(app, { allowedIps: ['192.0.2.0/24'] });
    await sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = ${expired.apiKey.id}`);
    await app.keys.revoke(revoked.apiKey.id);
    await app.keys.disable(disabled.apiKey.id);
    const unknown = `key_${'0'.repeat(43)}`;
    const withChecksum = await unknownKey(app);
    const status = async (path: string, ...lines: string[]) => (await rawGet(app.port, path, lines)).status;
    const statuses = [
      await status('/any', `X-API-Key: ${unknown}`),
      await status('/any', `X-API-Key: ${withChecksum}`),
      await status('/any', `X-API-Key: ${expired.key}`),
      await status('/any', `X-API-Key: ${revoked.key}`),
      await status('/any', `X-API-Key: ${disabled.key}`),
      await status('/any', `X-API-Key: ${elsewhere.key}`),
      await status('/any', `X-API-Key: ${live.key}`, 'X-Forwarded-Proto: http'),
      await status('/write', `X-API-Key: ${live.key}`),
      await status('/any'),
      await status('/any', `X-API-Key: ${live.key}`),
    ];
    expect(statuses).toEqual([401, 401, 401, 401, 401, 403, 403, 403, 401, 200]);
    const told = await refusals(8);
    expect(told.map(({ reason, key_id }) => [reason, key_id])).toEqual([
      ['malformed', null],
      ['unknown', null],
      ['expired', expired.apiKey.id],
      ['revoked', revoked.apiKey.id],
      ['disabled', disabled.apiKey.id],
      ['address', elsewhere.apiKey.id],
      ['plaintext', null],
      ['scope', live.apiKey.id],
    ]);
    expect(told[0]?.masked).toBeNull();
    expect(told[1]?.masked).toBe(`${withChecksum.slice(0, 8)}...${withChecksum.slice(-4)}`);
    expect(told[2]?.masked).toBe(expired.apiKey.masked);
  });
});

/** What one waits for, and another gives. */
function signal() {
  let give = () => {};
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give: () => give() };
}

it('a forwarded address is recorded only if it is a valid address', async () => {
  const app = await boot();
  app.app.getHttpAdapter().getInstance().set('trust proxy', true);
  const { key } = await issue(app);
  const told = ['192.0.2.1', key, `::1%${key}`, '\u00e9'];
  for (const address of told)
    await rawGet(app.port, '/any', [
      'X-API-Key: wrong',
      `X-Forwarded-For: ${address}`,
      'X-Forwarded-Proto: https',
    ]);
  const addresses = (await refusals(told.length)).map(({ address }) => address);
  expect(addresses).toEqual(['192.0.2.1', null, null, null]);
});

async function unknownKey(app: TestApp): Promise<string> {
  const { key, apiKey } = await issue(app);
  await sql(database, `DELETE FROM api_keys WHERE id = ${apiKey.id}`);
  return key;
}

describe('events of requests', () => {
  it('are written no later than the end of the application', async () => {
    const app = await boot({ flushIntervalMs: 3_600_000 });
    await rawGet(app.port, '/any', ['X-API-Key: wrong']);
    await app.close();
    running = undefined;
    expect(await refusals(1)).toHaveLength(1);
  });

  it('are bounded: further events are dropped, counted and logged once', async () => {
    const app = await boot({ flushIntervalMs: 3_600_000, queueSize: 5 });
    for (let i = 0; i < 8; i++) await rawGet(app.port, '/any', ['X-API-Key: wrong']);
    expect(app.keys.droppedEvents).toBe(3);
    await app.close();
    running = undefined;
    expect(await refusals(5)).toHaveLength(5);
  });

  it('are neither queued nor dropped if they are switched off', async () => {
    const app = await boot({ refused: 'off', accepted: 'off', queueSize: 1 });
    const { key } = await issue(app);
    for (const presented of ['wrong', 'wrong', key])
      await rawGet(app.port, '/any', [`X-API-Key: ${presented}`]);
    await app.close();
    running = undefined;
    expect(app.keys.droppedEvents).toBe(0);
    expect(await sql(database, `SELECT FROM api_key_events WHERE type <> 'created'`)).toHaveLength(0);
  });

  it('are also bounded for accepted requests', async () => {
    const app = await boot({ accepted: 'table', queueSize: 2, flushIntervalMs: 3_600_000 });
    const { key } = await issue(app);
    for (let i = 0; i < 5; i++) await rawGet(app.port, '/any', [`X-API-Key: ${key}`]);
    expect(app.keys.droppedEvents).toBe(3);
  });

  it('wait for an unreachable database without delaying requests', async () => {
    const proxy = await flakyProxy(database);
    running = await bootApp({
      database: proxy.url,
      controllers: [Routes],
      options: { audit: { flushIntervalMs: 20 } },
    });
    await proxy.cut();
    for (let i = 0; i < 3; i++)
      expect((await rawGet(running.port, '/any', ['X-API-Key: wrong'])).status).toBe(401);
    await proxy.mend();
    expect(await refusals(3)).toHaveLength(3);
    await running.close();
    running = undefined;
    await proxy.cut();
  });

  it('go to the Nest logger with a masked key if the option is "log"', async () => {
    const app = await boot({ refused: 'log', accepted: 'log' });
    const { key, apiKey } = await issue(app);
    const lines: [string, string][] = [];
    app.app.useLogger({
      log() {},
      error() {},
      warn: (line: string) => lines.push(['warn', line]),
      debug: (line: string) => lines.push(['debug', line]),
    });
    await rawGet(app.port, '/any', [`X-API-Key: ${key}`]);
    await rawGet(app.port, '/write', [`X-API-Key: ${key}`]);
    await rawGet(app.port, '/any', ['X-API-Key: wrong']);
    Logger.overrideLogger(false);
    expect(lines.filter(([, line]) => /^(accepted|refused) /.test(line))).toEqual([
      ['debug', `accepted ${apiKey.masked} Routes.any from 127.0.0.1`],
      ['debug', `accepted ${apiKey.masked} Routes.write from 127.0.0.1`],
      ['warn', `refused scope ${apiKey.masked} Routes.write from 127.0.0.1`],
      ['warn', 'refused malformed no key Routes.any from 127.0.0.1'],
    ]);
    expect(await sql(database, `SELECT FROM api_key_events WHERE type = 'refused'`)).toHaveLength(0);
  });

  it('go to a sink of the application, like changes, and a failing sink has no effect', async () => {
    const told: ApiKeyEvent[] = [];
    const sink = { record: (events: readonly ApiKeyEvent[]) => void told.push(...events) };
    const app = await boot({ refused: sink, accepted: sink, changes: sink });
    const { key } = await issue(app);
    await rawGet(app.port, '/any', [`X-API-Key: ${key}`]);
    await rawGet(app.port, '/any', ['X-API-Key: wrong']);
    await until(async () => told.length === 3);
    expect(told.map(({ type }) => type).sort()).toEqual(['accepted', 'created', 'refused']);
    await app.close();
    const failing = { record: () => Promise.reject(new Error('sink is away')) };
    const other = await boot({ refused: failing, changes: failing });
    await issue(other);
    expect((await rawGet(other.port, '/any', ['X-API-Key: wrong'])).status).toBe(401);
  });
});

it('a flood without a key adds at most queueSize events an interval to the trail, and all refusals of a real key are among them', async () => {
  const { flooded, withKey, rows, rowsWithKey, bound, dropped } = await floodTrail(3_000, {
    queueSize: 510,
    flushIntervalMs: 500,
  });
  expect(rows).toBeLessThanOrEqual(bound);
  expect(rowsWithKey).toBe(withKey);
  expect(dropped).toEqual({ refusedWithKey: 0, refusedWithoutKey: flooded + withKey - rows, accepted: 0 });
});

it('the application can listen to committed changes and to refusals', async () => {
  const app = await boot({}, { imports: [EventEmitterModule.forRoot()] });
  const emitter = app.app.get(EventEmitter2);
  const heard: string[] = [];
  const hear = <Name extends keyof ApiKeyEventMap>(name: Name) =>
    emitter.on(name, (event: ApiKeyEventMap[Name]) => heard.push(`${name} ${event.keyId}`));
  const changes = ['created', 'updated', 'rotated', 'disabled', 'enabled', 'revoked', 'deleted'] as const;
  for (const type of [...changes, 'refused'] as const) hear(`api-key.${type}`);
  emitter.on('api-key.created', () => {
    throw new Error('a listener that fails harms nothing');
  });
  const { apiKey } = await issue(app);
  const { id } = apiKey;
  await app.keys.update(id, { name: 'x' });
  await expect(app.keys.update(id, { name: '' })).rejects.toThrow();
  const next = (await app.keys.rotate(id))?.apiKey.id;
  await app.keys.disable(id);
  await app.keys.enable(id);
  await app.keys.revoke(id);
  await app.keys.delete(id);
  await rawGet(app.port, '/any', ['X-API-Key: wrong']);
  expect(heard).toEqual([
    `api-key.created ${id}`,
    `api-key.updated ${id}`,
    `api-key.rotated ${id}`,
    `api-key.created ${next}`,
    `api-key.disabled ${id}`,
    `api-key.enabled ${id}`,
    `api-key.revoked ${id}`,
    `api-key.deleted ${id}`,
    'api-key.refused null',
  ]);
});
