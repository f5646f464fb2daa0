import { randomBytes } from 'node:crypto';
import { ApiKeyAuthenticator, type ApiKeyOptions, type PresentingCaller } from 'nestjs-api-key';
import { DataSource } from 'typeorm';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser } from './support/database';
import { until } from './support/until';

const GATEWAY: PresentingCaller = { address: '192.0.2.7', route: 'OrdersGateway' };

let database: string;
let userId: string;
let app: TestApp | undefined;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  await app?.close();
  app = undefined;
});

async function boot(options: ApiKeyOptions = {}) {
  app = await bootApp({ database, options });
  return { keys: app.keys, authenticator: app.app.get(ApiKeyAuthenticator) };
}

const loadUser = async (id: string) => ({ id, name: 'Ada' });

it('a valid key is accepted with its user, cached or not, and its use is recorded', async () => {
  const { keys, authenticator } = await boot({ loadUser, usage: { lastUsedIntervalMs: 1_000 } });
  const { key, apiKey } = await keys.create({ userId, name: 'ci' });
  for (let i = 0; i < 3; i++)
    expect(await authenticator.authenticate(key, GATEWAY)).toMatchObject({
      apiKey: { id: apiKey.id },
      user: { id: userId, name: 'Ada' },
    });
  await until(async () => (await keys.get(apiKey.id))?.lastUsedAt !== null);
});

it.each<[string, unknown]>([
  ['nothing', undefined],
  ['a text that is not a key', 'nonsense'],
  ['an object that turns into text', { toString: () => 'key' }],
  ['an unknown well-formed key', '0'.repeat(64)],
])('%s is INVALID_API_KEY', async (_, key) => {
  const { authenticator } = await boot({ format: 'hex' });
  await expect(authenticator.authenticate(key, GATEWAY)).rejects.toMatchObject({ code: 'INVALID_API_KEY' });
});

it('a revoked key and a key of a deleted owner are INVALID_API_KEY, and the audit trail has the reason and the address', async () => {
  const users = new Set([userId]);
  const { keys, authenticator } = await boot({
    loadUser: (id) => (users.has(id) ? { id } : null),
    cache: { userCacheMs: 0 },
    audit: { flushIntervalMs: 100 },
  });
  const { key, apiKey } = await keys.create({ userId, name: 'ci' });
  await authenticator.authenticate(key, GATEWAY);
  users.clear();
  const refused = { code: 'INVALID_API_KEY' };
  await expect(authenticator.authenticate(key, GATEWAY)).rejects.toMatchObject(refused);
  await keys.revoke(apiKey.id);
  for (const requestId of ['r1', 'r\u0000', 'r'.repeat(100)])
    await expect(authenticator.authenticate(key, { ...GATEWAY, requestId })).rejects.toMatchObject(refused);
  await until(async () => {
    const events = (await keys.events(apiKey.id))?.items ?? [];
    const reasons = events.map(({ details }) => (details as { reason?: string }).reason);
    return reasons.includes('owner') && reasons.includes('revoked') && reasons.length > 3;
  });
  const events = (await keys.events(apiKey.id))?.items ?? [];
  expect(
    events.filter(({ type }) => type === 'refused').map(({ address, requestId }) => [address, requestId]),
  ).toEqual(
    expect.arrayContaining([
      ['192.0.2.7', null],
      ['192.0.2.7', 'r1'],
    ]),
  );
});

it('a key with allowed addresses is refused from other addresses, and if the address is unknown', async () => {
  const { keys, authenticator } = await boot();
  const { key } = await keys.create({ userId, name: 'ci', allowedIps: ['192.0.2.0/24'] });
  await authenticator.authenticate(key, GATEWAY);
  for (const address of ['198.51.100.1', null, '', 'nowhere', '192.0.2.7\u0000'])
    await expect(authenticator.authenticate(key, { ...GATEWAY, address })).rejects.toMatchObject({
      code: 'IP_NOT_ALLOWED',
    });
});

it('a request is KEY_STORE_UNAVAILABLE before its deadline if the user cannot be loaded', async () => {
  const { keys, authenticator } = await boot({
    loadUser: () => new Promise(() => {}),
    cache: { lookUpTimeoutMs: 200 },
  });
  const { key } = await keys.create({ userId, name: 'ci' });
  await expect(authenticator.authenticate(key, GATEWAY)).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
  });
});

it('a flood of unknown keys without an address costs few statements', async () => {
  const { authenticator } = await boot({ format: 'hex', failedAttempts: { limit: 5 } });
  const { master } = (app as TestApp).app.get(DataSource).driver as unknown as {
    master: { connect(): unknown };
  };
  const connects = jest.spyOn(master, 'connect');
  await Promise.all(
    Array.from({ length: 500 }, () =>
      authenticator
        .authenticate(randomBytes(32).toString('hex'), { ...GATEWAY, address: null })
        .catch(() => {}),
    ),
  );
  expect(connects.mock.calls.length).toBeLessThan(100);
});
