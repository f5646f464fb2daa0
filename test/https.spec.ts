import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { get as httpsGet } from 'node:https';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Controller, Get } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { ApiKeyAuth, type ApiKeyOptions, ApiKeyService } from 'nestjs-api-key';
import { ADAPTERS, type Adapter, bootApp, libraryModules } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';
import { layered } from './support/layered';
import { rawGet } from './support/raw-http';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return { ok: true };
  }
}

const TLS = {
  key: readFileSync(join(__dirname, 'fixtures/tls/key.pem')),
  cert: readFileSync(join(__dirname, 'fixtures/tls/cert.pem')),
};

const OUTER_ADDRESS = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address;

/** A machine with loopback alone has no other peer; the test is then reported as skipped. */
const onRealInterface = OUTER_ADDRESS ? it : it.skip;

const PROXIED: ApiKeyOptions = { https: { trustProxy: ['127.0.0.1'] } };
const NO_EXCEPTION: ApiKeyOptions = { https: { loopbackException: false } };

describe.each(ADAPTERS)('on %s,', (adapter) => {
  let database: string;
  let userId: string;

  beforeAll(async () => {
    database = await createMigratedDatabase();
    userId = await createUser(database);
  });

  async function statusWith(options: ApiKeyOptions, lines: readonly string[]): Promise<number> {
    const app = await bootApp({ database, adapter, options, controllers: [Routes] });
    try {
      const { key } = await app.keys.create({ userId, name: 'ci' });
      return (await rawGet(app.port, '/', [`Authorization: Bearer ${key}`, ...lines])).status;
    } finally {
      await app.close();
    }
  }

  it.each<[string, ApiKeyOptions, string[], number]>([
    ['plaintext from loopback without proxy headers', {}, [], 200],
    ['loopback with X-Forwarded-For', {}, ['X-Forwarded-For: 1.2.3.4'], 403],
    ['loopback with X-Forwarded-Host', {}, ['X-Forwarded-Host: example.com'], 403],
    ['loopback with an empty X-Forwarded-Port', {}, ['X-Forwarded-Port:'], 403],
    ['loopback with any other X-Forwarded header', {}, ['x-forwarded-ssl: on'], 403],
    ['loopback with Forwarded', {}, ['Forwarded: for=1.2.3.4;proto=https'], 403],
    ['loopback with X-Real-IP', {}, ['X-Real-IP: 1.2.3.4'], 403],
    ['loopback with Via', {}, ['Via: 1.1 proxy'], 403],
    ['an untrusted peer that claims https', {}, ['X-Forwarded-Proto: https'], 403],
    ['loopback if loopbackException is false', NO_EXCEPTION, [], 403],
    [
      'a trusted proxy that says https',
      PROXIED,
      ['X-Forwarded-Proto: https', 'X-Forwarded-For: 1.2.3.4'],
      200,
    ],
    [
      'a trusted proxy that says https, with loopbackException false',
      layered(PROXIED, NO_EXCEPTION),
      ['X-Forwarded-Proto: https'],
      200,
    ],
    ['a trusted proxy that says http', PROXIED, ['X-Forwarded-Proto: http'], 403],
    ['a trusted proxy that says HTTPS in capitals', PROXIED, ['X-Forwarded-Proto: HTTPS'], 403],
    ['a trusted proxy that says https, http', PROXIED, ['X-Forwarded-Proto: https, http'], 403],
    ['a trusted proxy that says http, https', PROXIED, ['X-Forwarded-Proto: http, https'], 403],
    [
      'a trusted proxy that says https twice',
      PROXIED,
      ['X-Forwarded-Proto: https', 'X-Forwarded-Proto: https'],
      403,
    ],
    ['a trusted proxy without X-Forwarded-Proto', PROXIED, ['X-Forwarded-For: 1.2.3.4'], 403],
    ['a trusted proxy with an empty protocol', PROXIED, ['X-Forwarded-Proto:'], 403],
    [
      'a peer in allowInsecureHttpFrom',
      layered(NO_EXCEPTION, { https: { allowInsecureHttpFrom: ['127.0.0.0/8'] } }),
      [],
      200,
    ],
    [
      'a peer outside allowInsecureHttpFrom',
      layered(NO_EXCEPTION, { https: { allowInsecureHttpFrom: ['10.0.0.0/8'] } }),
      [],
      403,
    ],
    [
      'a proxy in allowInsecureHttpFrom',
      { https: { allowInsecureHttpFrom: ['127.0.0.0/8'] } },
      ['X-Forwarded-For: 1.2.3.4'],
      403,
    ],
  ])('%s', async (_, options, lines, status) => {
    expect(await statusWith(options, lines)).toBe(status);
  });

  onRealInterface(
    'plaintext to an address that is not loopback is refused before the credential is looked at',
    async () => {
      const app = await bootApp({ database, adapter, controllers: [Routes], host: '0.0.0.0' });
      const response = await fetch(`http://${OUTER_ADDRESS}:${app.port}/`, {
        headers: { 'x-api-key': 'worthless' },
      });
      await app.close();
      expect(response.status).toBe(403);
      expect(await response.json()).toMatchObject({ error: 'HTTPS_REQUIRED' });
    },
  );

  it('TLS of the server itself is accepted with loopbackException false', async () => {
    const app = await bootOn(adapter, { tls: true }, NO_EXCEPTION);
    const { port } = app.getHttpServer().address();
    const { key } = await app.get(ApiKeyService).create({ userId, name: 'ci' });
    const status = await answer((done) =>
      httpsGet({ host: '127.0.0.1', port, ca: TLS.cert, agent: false, headers: { 'x-api-key': key } }, done),
    );
    await app.close();
    expect(status).toBe(200);
  });

  it('a unix socket of the server counts as loopback, and loopbackException false refuses it too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nestjs-api-key-'));
    const statuses: (number | undefined)[] = [];
    const cases: [ApiKeyOptions, Record<string, string>][] = [
      [{}, {}],
      [{}, { via: '1.1 proxy' }],
      [NO_EXCEPTION, {}],
    ];
    for (const [options, lines] of cases) {
      const socketPath = join(folder, 'app.sock');
      const app = await bootOn(adapter, { socketPath }, options);
      const { key } = await app.get(ApiKeyService).create({ userId, name: 'ci' });
      const headers = { 'x-api-key': key, ...lines };
      statuses.push(await answer((done) => httpGet({ socketPath, agent: false, headers }, done)));
      await app.close();
    }
    rmSync(folder, { recursive: true });
    expect(statuses).toEqual([200, 403, 403]);
  });

  async function bootOn(
    kind: Adapter,
    where: { tls?: boolean; socketPath?: string },
    options: ApiKeyOptions,
  ) {
    const module = await Test.createTestingModule({
      imports: libraryModules(database, options),
      controllers: [Routes],
    }).compile();
    const app =
      kind === 'fastify'
        ? module.createNestApplication(new FastifyAdapter(where.tls ? { https: TLS } : {}))
        : module.createNestApplication(where.tls ? { httpsOptions: TLS } : {});
    app.useLogger(false);
    await (where.socketPath ? app.listen(where.socketPath) : app.listen(0, '127.0.0.1'));
    return app;
  }
});

type Answered = (response: { statusCode?: number; resume(): unknown }) => void;

function answer(
  request: (done: Answered) => { on(event: 'error', listener: (error: Error) => void): unknown },
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request((response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', reject);
  });
}
