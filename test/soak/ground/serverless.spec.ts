import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { Controller, Get, Logger, Req } from '@nestjs/common';
import { ApiKeyAuth, type ApiKeyOptions, Public } from 'nestjs-api-key';
import { ADAPTERS, type Adapter, bootApp, type TestApp } from '../../support/app';
import { createMigratedDatabase, createUser } from '../../support/database';

type Fields = Record<string, unknown>;

/** What an adapter knows of a request. */
interface Event {
  readonly path?: string;
  readonly headers: unknown;
  readonly address?: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

let database: string;
let userId: string;
let key: string;
let running: TestApp | undefined;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  jest.restoreAllMocks();
  await running?.close();
  running = undefined;
});

@Controller()
class Routes {
  @Get()
  @ApiKeyAuth('orders:read')
  get(@Req() request: { apiKey?: { name: string }; user?: { id: string } }) {
    return { name: request.apiKey?.name, user: request.user?.id };
  }

  @Get('open')
  @Public()
  open() {
    return {};
  }
}

async function boot(adapter: Adapter, options: ApiKeyOptions = {}): Promise<TestApp> {
  running = await bootApp({ database, adapter, controllers: [Routes], options });
  const created = await running.keys.create({ userId, name: 'ci', scopes: ['orders:read'] });
  key = created.key;
  return running;
}

/** `lib/request.js` of serverless-http 4.0.0, without its body. */
function serverlessRequest({ path = '/', headers, address }: Event): IncomingMessage {
  const socket = Object.assign(new PassThrough(), {
    encrypted: true,
    remoteAddress: address,
    address: () => ({ port: 443 }),
  });
  const request = new IncomingMessage(socket as unknown as Socket);
  Object.assign(request, {
    ip: address,
    complete: true,
    httpVersion: '1.1',
    httpVersionMajor: '1',
    httpVersionMinor: '1',
    method: 'GET',
    headers,
    body: Buffer.alloc(0),
    url: path,
  });
  setImmediate(() => request.emit('end'));
  return request;
}

/** Hands a request to the app as an adapter does, without any connection. */
async function send(app: TestApp, request: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  const response = new ServerResponse(request);
  const socket = new PassThrough();
  socket.on('data', (chunk) => chunks.push(chunk));
  response.assignSocket(socket as unknown as Socket);
  const finished = new Promise((resolve) => response.on('finish', resolve));
  const instance = app.app.getHttpAdapter().getInstance();
  await instance.ready?.();
  if (instance.routing) instance.routing(request, response);
  else instance(request, response);
  await finished;
  const text = Buffer.concat(chunks).toString();
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  return { status: response.statusCode, json: JSON.parse(/\{.*\}/s.exec(body)?.[0] ?? '{}') };
}

const invoke = (app: TestApp, headers: unknown, event: Partial<Event> = {}) =>
  send(app, serverlessRequest({ headers, address: '203.0.113.7', ...event }));

const codeOf = async (answer: Promise<Answer>) => (await answer).json.error;

const bearer = () => ({
  host: 'api.example.com',
  'x-forwarded-proto': 'https',
  authorization: `Bearer ${key}`,
});

describe.each(
  ADAPTERS,
)('on %s, a request without header lines, as adapters of serverless platforms build it,', (adapter) => {
  it.each<[string, () => unknown]>([
    ['in Authorization', bearer],
    ['in X-API-Key', () => ({ 'x-api-key': key })],
    ['under a name in capitals', () => ({ 'X-API-KEY': key })],
    ['under a name as a client wrote it', () => ({ Authorization: `Bearer ${key}` })],
    ['as a list of one', () => ({ authorization: [`Bearer ${key}`] })],
    ['in the Headers of the Fetch standard', () => new Headers({ authorization: `Bearer ${key}` })],
  ])('is accepted with its key %s', async (_, headers) => {
    const app = await boot(adapter);
    expect(await invoke(app, headers())).toEqual({ status: 200, json: { name: 'ci', user: userId } });
  });

  it.each<[string, () => Fields]>([
    ['two credentials joined by a comma', () => ({ authorization: `Bearer ${key}, Bearer ${key}` })],
    ['two keys joined by a comma', () => ({ 'x-api-key': `${key},${key}` })],
    ['a list of two', () => ({ 'x-api-key': [key, key] })],
    ['two names that differ in case', () => ({ 'x-api-key': key, 'X-API-Key': key })],
    ['another scheme before the credential', () => ({ authorization: `Basic YTpi, Bearer ${key}` })],
  ])('is refused as INVALID_API_KEY with %s', async (_, headers) => {
    const app = await boot(adapter);
    const { status, json } = await invoke(app, headers());
    expect([status, json.error]).toEqual([401, 'INVALID_API_KEY']);
  });

  it.each<[string, Fields]>([
    ['without any header', {}],
    ['with values that are not text', { authorization: undefined, 'x-api-key': null, host: 1 }],
  ])('is refused as MISSING_API_KEY %s', async (_, headers) => {
    expect(await codeOf(invoke(await boot(adapter), headers))).toBe('MISSING_API_KEY');
  });

  it('reaches a public route', async () => {
    expect((await invoke(await boot(adapter), {}, { path: '/open' })).status).toBe(200);
  });

  it('is answered with problem details if it asks for them under a name in capitals', async () => {
    const { json } = await invoke(await boot(adapter), { ACCEPT: 'application/problem+json' });
    expect(json).toMatchObject({ type: 'about:blank', error: 'MISSING_API_KEY' });
  });

  it('is accepted if the adapter creates its header lines again on each read', async () => {
    const app = await boot(adapter);
    const request = serverlessRequest({ headers: bearer(), address: '203.0.113.7' });
    const get = () => Object.entries(bearer()).flat();
    Object.defineProperty(request, 'rawHeaders', { get });
    expect(await send(app, request)).toEqual({ status: 200, json: { name: 'ci', user: userId } });
  });

  it('does not share its key if the adapter uses one empty list of header lines for all requests', async () => {
    const app = await boot(adapter);
    const names = Array.from({ length: 20 }, (_, i) => `key ${i}`);
    const rawHeaders = Object.freeze([]);
    const answers = names.map(async (name) => {
      const made = await app.keys.create({ userId, name, scopes: ['orders:read'] });
      const request = serverlessRequest({ headers: { 'x-api-key': made.key }, address: '203.0.113.7' });
      return send(app, Object.assign(request, { rawHeaders }) as unknown as IncomingMessage);
    });
    expect((await Promise.all(answers)).map(({ json }) => json.name)).toEqual(names);
  });
});

describe.each(ADAPTERS)('on %s, a request whose socket an adapter made', (adapter) => {
  it('is refused if its headers report plaintext, whatever the socket reports', async () => {
    const app = await boot(adapter);
    expect(await codeOf(invoke(app, { ...bearer(), 'x-forwarded-proto': 'http' }))).toBe('HTTPS_REQUIRED');
  });

  it.each([
    undefined,
    '',
  ])('is refused if its address is %p, and the log names the way out once', async (address) => {
    const error = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => {});
    const app = await boot(adapter);
    for (let i = 0; i < 3; i++)
      expect(await codeOf(invoke(app, bearer(), { address }))).toBe('HTTPS_REQUIRED');
    const lines = error.mock.calls.flat().filter((line) => String(line).includes('HTTPS_REQUIRED'));
    expect(lines).toEqual([
      expect.stringMatching(
        /Its address is not given\. If only HTTPS can reach this app, set https\.allowInsecureHttp: true/,
      ),
    ]);
  });

  it('is accepted without an address if the application allows insecure HTTP', async () => {
    const app = await boot(adapter, { https: { allowInsecureHttp: true } });
    expect((await invoke(app, bearer(), { address: undefined })).status).toBe(200);
  });

  it('is checked by its headers, in any letter case, if it comes from a loopback address', async () => {
    const app = await boot(adapter, { https: { loopbackException: true } });
    const from = (headers: Fields) => {
      const request = serverlessRequest({
        headers: { ...headers, authorization: `Bearer ${key}` },
        address: '127.0.0.1',
      });
      Object.assign(request.socket, { encrypted: undefined });
      return send(app, request);
    };
    expect((await from({})).status).toBe(200);
    expect((await from({ 'X-Forwarded-For': '203.0.113.7' })).json.error).toBe('HTTPS_REQUIRED');
    expect((await from({ VIA: '1.1 proxy' })).json.error).toBe('HTTPS_REQUIRED');
  });

  it('is checked again by its address if the adapter uses one socket for all requests', async () => {
    const app = await boot(adapter, { https: { loopbackException: true } });
    const socket = Object.assign(new PassThrough(), { remoteAddress: '127.0.0.1' });
    const from = (remoteAddress: string) => {
      const request = serverlessRequest({ headers: { authorization: `Bearer ${key}` } });
      request.socket = Object.assign(socket, { remoteAddress }) as unknown as Socket;
      return send(app, request);
    };
    expect((await from('127.0.0.1')).status).toBe(200);
    expect((await from('203.0.113.7')).json.error).toBe('HTTPS_REQUIRED');
  });

  it('uses the address from the adapter for keys with allowed addresses', async () => {
    const app = await boot(adapter);
    const bound = await app.keys.create({
      userId,
      name: 'bound',
      scopes: ['orders:read'],
      allowedIps: ['203.0.113.0/24'],
    });
    const headers = { 'x-api-key': bound.key };
    expect((await invoke(app, headers)).status).toBe(200);
    expect(await codeOf(invoke(app, headers, { address: '198.51.100.1' }))).toBe('IP_NOT_ALLOWED');
  });
});

it('a request without a socket is refused as HTTPS_REQUIRED, and accepted if the application allows insecure HTTP', async () => {
  const without = () => {
    const request = serverlessRequest({ headers: bearer() });
    Object.defineProperty(request, 'socket', { value: undefined, configurable: true });
    return request;
  };
  const app = await boot('express');
  expect(await codeOf(send(app, without()))).toBe('HTTPS_REQUIRED');
  await app.close();
  expect((await send(await boot('express', { https: { allowInsecureHttp: true } }), without())).status).toBe(
    200,
  );
});
