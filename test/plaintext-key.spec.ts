import { Controller, Get, Logger } from '@nestjs/common';
import { ApiKeyAuth, type ApiKeyOptions } from 'nestjs-api-key';
import { ADAPTERS, type Adapter, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';
import { type FlakyProxy, flakyProxy } from './support/flaky-proxy';
import { layered } from './support/layered';
import { rawGet } from './support/raw-http';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

const BURNS: ApiKeyOptions = {
  https: { onPlaintextKey: 'revoke', trustProxy: ['127.0.0.1'] },
  cache: { lookUpTimeoutMs: 30_000 },
};
const BY_HTTP = ['X-Forwarded-Proto: http'];

let database: string;
let userId: string;
let app: TestApp;
let proxy: FlakyProxy | undefined;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  await proxy?.mend();
  await app.close();
  await proxy?.cut();
  proxy = undefined;
});

async function boot(options: ApiKeyOptions, adapter: Adapter = 'express', url = database): Promise<void> {
  app = await bootApp({ database: url, adapter, controllers: [Routes], options });
}

const issue = () => app.keys.create({ userId, name: 'ci' });
const ask = (key: string, lines: readonly string[] = []) =>
  rawGet(app.port, '/', [`Authorization: Bearer ${key}`, ...lines]);

describe.each(ADAPTERS)('on %s', (adapter) => {
  it('a key that certainly came in plaintext is refused and revoked, and the audit trail has both events', async () => {
    await boot(BURNS, adapter);
    const { key, apiKey } = await issue();
    const { status, json } = await ask(key, BY_HTTP);
    expect([status, json.error]).toEqual([403, 'HTTPS_REQUIRED']);
    expect(await app.keys.verify(key)).toEqual({ ok: false, reason: 'revoked' });
    await until(
      async () => (await app.keys.events(apiKey.id))?.items.some(({ type }) => type === 'refused') ?? false,
    );
    const events = (await app.keys.events(apiKey.id))?.items ?? [];
    expect(events.find(({ type }) => type === 'revoked')).toMatchObject({
      actor: { type: 'system' },
      address: '127.0.0.1',
      details: { reason: 'presented over plaintext HTTP' },
    });
    expect(events.find(({ type }) => type === 'refused')).toMatchObject({
      masked: apiKey.masked,
      details: { reason: 'plaintext' },
    });
  });

  it.each<[string, string[]]>([
    ['a proxy without X-Forwarded-Proto', ['Via: 1.1 proxy']],
    ['a proxy that sends two values', ['X-Forwarded-Proto: http', 'X-Forwarded-Proto: https']],
    ['HTTPS', ['X-Forwarded-Proto: https']],
  ])('a key that came by %s is not revoked', async (_, lines) => {
    await boot(BURNS, adapter);
    const { key } = await issue();
    await ask(key, lines);
    expect(await app.keys.verify(key)).toMatchObject({ ok: true });
  });

  it.each<[string, (key: string, other: string) => string[]]>([
    ['beside a token of another issuer', (key) => ['Authorization: Bearer eyJhbGciOi', `X-API-Key: ${key}`]],
    ['twice', (key) => [`X-API-Key: ${key}`, `X-API-Key: ${key}`]],
    ['beside another key', (key, other) => [`Authorization: Bearer ${other}`, `X-API-Key: ${key}`]],
    ['in a list', (key, other) => [`X-API-Key: ${other}, ${key}`]],
    ['without a scheme', (key) => [`Authorization: ${key}`]],
  ])('a key that came %s is also revoked, even if that request could never authenticate', async (_, lines) => {
    await boot(BURNS, adapter);
    const [one, other] = [await issue(), await issue()];
    const sent = lines(one.key, other.key);
    const { status, json } = await rawGet(app.port, '/', [...sent, ...BY_HTTP]);
    expect([status, json.error]).toEqual([403, 'HTTPS_REQUIRED']);
    for (const { key } of [one, other])
      expect((await app.keys.verify(key)).ok).toBe(!sent.join().includes(key));
  });

  it('a disabled key is also revoked, because it could be enabled', async () => {
    await boot(BURNS, adapter);
    const { key, apiKey } = await issue();
    await app.keys.disable(apiKey.id);
    expect((await ask(key, BY_HTTP)).status).toBe(403);
    expect(await app.keys.verify(key)).toEqual({ ok: false, reason: 'revoked' });
    await expect(app.keys.enable(apiKey.id)).rejects.toThrow('is revoked');
  });

  it('without the option no key is looked up or revoked', async () => {
    await boot({ https: { trustProxy: ['127.0.0.1'] } }, adapter);
    const { key } = await issue();
    expect((await ask(key, BY_HTTP)).status).toBe(403);
    expect(await app.keys.verify(key)).toMatchObject({ ok: true });
  });
});

it.each<[string, string]>([
  ['no key at all', 'X-Nothing: here'],
  ['a malformed key', 'Authorization: Bearer nonsense'],
  ['an unknown key', `Authorization: Bearer ${'0'.repeat(64)}`],
])('%s in plaintext gets the same answer', async (_, line) => {
  await boot({ ...BURNS, format: 'hex' });
  const { status, json } = await rawGet(app.port, '/', [line, ...BY_HTTP]);
  expect([status, json.error]).toEqual([403, 'HTTPS_REQUIRED']);
});

it('while the database does not answer, the refusal comes in time, and a log line says that the key was not revoked', async () => {
  const told = jest.spyOn(Logger.prototype, 'error').mockImplementation();
  proxy = await flakyProxy(database);
  await boot(layered(BURNS, { cache: { lookUpTimeoutMs: 100 } }), 'express', proxy.url);
  const { key } = await issue();
  proxy.silence('all');
  expect((await ask(key, BY_HTTP)).status).toBe(403);
  await until(() => told.mock.calls.some(([line]) => String(line).includes('could not be revoked')));
  expect(JSON.stringify(told.mock.calls)).not.toContain(key);
  told.mockRestore();
});

it.each<[string, ApiKeyOptions]>([
  ['if loopbackException is false', {}],
  ['if a proxy on this machine is trusted', { https: { trustProxy: ['127.0.0.1'] } }],
])('a key from this machine without proxy headers is refused and not revoked, because a proxy that adds no header can end TLS here, %s', async (_, more) => {
  const burns = { onPlaintextKey: 'revoke', loopbackException: false } as const;
  await boot(layered({ https: burns, cache: { lookUpTimeoutMs: 30_000 } }, more));
  const { key } = await issue();
  expect((await ask(key)).status).toBe(403);
  expect(await app.keys.verify(key)).toMatchObject({ ok: true });
});

it('https.allowInsecureHttp accepts all plaintext, and each start logs it', async () => {
  const told = jest.spyOn(Logger.prototype, 'warn').mockImplementation();
  await boot({ https: { allowInsecureHttp: true, loopbackException: false, onPlaintextKey: 'revoke' } });
  expect(told.mock.calls.flat().join()).toContain('https.allowInsecureHttp is on');
  told.mockRestore();
  const { key } = await issue();
  expect((await ask(key, BY_HTTP)).status).toBe(200);
  expect(await app.keys.verify(key)).toMatchObject({ ok: true });
});
