import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth } from 'nestjs-api-key';
import { ADAPTERS, type Adapter, bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

let database: string;
let userId: string;
const running: TestApp[] = [];

beforeEach(async () => {
  database = await createMigratedDatabase();
  await sql(database, 'ALTER TABLE users ADD COLUMN disabled_at timestamptz');
  userId = await createUser(database);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
});

/** The beat of refusals, and what a timer may be early. */
const EARLIEST_MS = 9;

const enabledUser = async (id: string) =>
  (await sql(database, 'SELECT id FROM users WHERE id = $1 AND disabled_at IS NULL', [id]))[0] ?? null;

/** An instance that remembers for a minute, and lets in whose user is there and not disabled. */
async function instance(adapter: Adapter, loadUser: (id: string) => unknown = enabledUser): Promise<TestApp> {
  const options = { loadUser, cache: { leaseMs: 60_000, userCacheMs: 60_000 } };
  const app = await bootApp({ database, adapter, controllers: [Routes], options });
  running.push(app);
  return app;
}

const statusOf = async (app: TestApp, key: string) =>
  (await fetch(app.url, { headers: { authorization: `Bearer ${key}` } })).status;

describe.each(ADAPTERS)('on %s, even if two instances have cached the user, a key is refused', (adapter) => {
  it.each([
    ['disabled', 'UPDATE users SET disabled_at = now() WHERE id = $1'],
    ['deleted', 'DELETE FROM users WHERE id = $1'],
  ])('whose user was %s, and the answer only says that the key is not valid', async (_, end) => {
    const apps = [await instance(adapter), await instance(adapter)];
    const [app] = apps as [TestApp];
    const { key } = await app.keys.create({ userId, name: 'ci' });
    await until(() => apps.every(({ keys }) => keys.verificationStatus.leaseHeld));
    for (const each of apps)
      expect([await statusOf(each, key), await statusOf(each, key)]).toEqual([200, 200]);
    await sql(database, end, [userId]);
    for (const each of apps) await until(async () => (await statusOf(each, key)) === 401);
    const response = await fetch(app.url, { headers: { authorization: `Bearer ${key}` } });
    expect(await response.json()).toMatchObject({ error: 'INVALID_API_KEY' });
  });

  it('with the same delay as any other refusal, cached or not, because the time would reveal that the key exists', async () => {
    const app = await instance(adapter, () => null);
    await until(() => app.keys.verificationStatus.leaseHeld);
    const issue = async () => app.keys.create({ userId, name: 'ci' });
    const [ownerless, revoked, expired, unknown] = [
      await issue(),
      await issue(),
      await issue(),
      await issue(),
    ];
    await app.keys.revoke(revoked.apiKey.id);
    await sql(database, `UPDATE api_keys SET expires_at = now() WHERE id = ${expired.apiKey.id}`);
    await app.keys.delete(unknown.apiKey.id);
    for (const { key } of [ownerless, revoked, expired, unknown])
      for (let i = 0; i < 4; i++) {
        const asked = performance.now();
        expect(await statusOf(app, key)).toBe(401);
        expect(performance.now() - asked).toBeGreaterThan(EARLIEST_MS);
      }
  });

  it('until the user is enabled again', async () => {
    const app = await instance(adapter);
    const { key } = await app.keys.create({ userId, name: 'ci' });
    await sql(database, `UPDATE users SET disabled_at = now() WHERE id = ${userId}`);
    expect(await statusOf(app, key)).toBe(401);
    await sql(database, `UPDATE users SET disabled_at = NULL WHERE id = ${userId}`);
    await until(async () => (await statusOf(app, key)) === 200);
  });
});
