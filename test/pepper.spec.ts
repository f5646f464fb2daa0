import { createHash, createHmac } from 'node:crypto';
import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth, ApiKeyInputError, type ApiKeyOptions, type IssuedApiKey } from 'nestjs-api-key';
import { AppDataSource } from '../ormconfig';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { asRails, createRailsDatabase, RAILS_KEYS, railsAuthenticates } from './support/rails';
import { until } from './support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

const [FIRST, SECOND] = ['first pepper '.repeat(3), Buffer.alloc(32, 7)];

let database: string;
let userId: string;
const running: TestApp[] = [];

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
});

async function boot(pepper: ApiKeyOptions['pepper'], options: ApiKeyOptions = {}): Promise<TestApp> {
  const app = await bootApp({ database, controllers: [Routes], options: { ...options, pepper } });
  running.push(app);
  return app;
}

const issue = (app: TestApp) => app.keys.create({ userId, name: 'ci' });
const statusOf = async (app: TestApp, key: string) =>
  (await fetch(app.url, { headers: { authorization: `Bearer ${key}` } })).status;
const underPepper = (key: string, pepper: string | Buffer) =>
  createHmac('sha256', pepper).update(key).digest('hex');
const plain = (key: string) => createHash('sha256').update(key).digest('hex');

async function rowOf({ apiKey }: IssuedApiKey) {
  const [row] = await sql(database, 'SELECT * FROM api_keys WHERE id = $1', [apiKey.id]);
  return row ?? {};
}

const isStoredAs = (issued: IssuedApiKey, digest: string) =>
  until(async () => (await rowOf(issued)).key_digest === digest);

it('a key is stored as its HMAC-SHA-256 under the pepper, and is refused by an instance without that pepper', async () => {
  const app = await boot({ secrets: [FIRST] });
  const issued = await issue(app);
  expect((await rowOf(issued)).key_digest).toBe(underPepper(issued.key, FIRST));
  expect(await statusOf(app, issued.key)).toBe(200);
  expect(await statusOf(app, issued.key)).toBe(200);
  for (const other of [null, { secrets: [SECOND] }])
    expect(await statusOf(await boot(other), issued.key)).toBe(401);
});

it('a key from before the pepper is accepted, and its first use changes only its stored digest', async () => {
  const before = await boot(null);
  const [used, unused] = [await issue(before), await issue(before)];
  const was = await rowOf(used);
  const app = await boot({ secrets: [FIRST] }, { usage: { lastUsed: false } });
  expect(await statusOf(app, used.key)).toBe(200);
  await isStoredAs(used, underPepper(used.key, FIRST));
  expect(await rowOf(used)).toEqual({ ...was, key_digest: underPepper(used.key, FIRST) });
  expect((await rowOf(unused)).key_digest).toBe(plain(unused.key));
  expect(await statusOf(app, used.key)).toBe(200);
  expect(await statusOf(await boot({ secrets: [FIRST], unpeppered: 'refuse' }), used.key)).toBe(200);
});

it('a key from before a rotation of the pepper is accepted, and after its first use also without the old pepper', async () => {
  const issued = await issue(await boot({ secrets: [FIRST] }));
  expect(await statusOf(await boot({ secrets: [SECOND, FIRST] }), issued.key)).toBe(200);
  await isStoredAs(issued, underPepper(issued.key, SECOND));
  expect(await statusOf(await boot({ secrets: [SECOND], unpeppered: 'refuse' }), issued.key)).toBe(200);
});

it('an inserted digest without a pepper is not a key if unpeppered rows are refused', async () => {
  const written = await issue(await boot(null));
  const app = await boot({ secrets: [FIRST], unpeppered: 'refuse' });
  expect(await statusOf(app, written.key)).toBe(401);
  const line = { userId, name: 'ci', keyDigest: plain('a key'), keyPrefix: 'key_a' };
  await expect(app.keys.import([line])).rejects.toThrow(ApiKeyInputError);
});

it('an imported digest is also adopted', async () => {
  const other = await issue(await boot(null));
  await sql(database, 'DELETE FROM api_keys');
  const app = await boot({ secrets: [FIRST] });
  const line = { userId, name: 'ci', keyDigest: plain(other.key), keyPrefix: 'key_' };
  expect(await app.keys.import([line])).toMatchObject({ imported: 1 });
  expect(await statusOf(app, other.key)).toBe(200);
  await until(async () => {
    const rows = await sql(database, 'SELECT key_digest FROM api_keys');
    return rows[0]?.key_digest === underPepper(other.key, FIRST);
  });
});

it.each([
  ['revoked', `revoked_at = now(), expires_at = now()`],
  ['expired', `expires_at = now() - interval '1 second'`],
])('a %s key is refused, and its digest stays unchanged', async (_, change) => {
  const before = await boot(null);
  const [ended, live] = [await issue(before), await issue(before)];
  await sql(database, `UPDATE api_keys SET ${change} WHERE id = ${ended.apiKey.id}`);
  const app = await boot({ secrets: [FIRST] });
  expect(await statusOf(app, ended.key)).toBe(401);
  expect(await statusOf(app, live.key)).toBe(200);
  await isStoredAs(live, underPepper(live.key, FIRST));
  expect((await rowOf(ended)).key_digest).toBe(plain(ended.key));
});

it.each([
  ['a first pepper', { secrets: [], upcoming: FIRST }, { secrets: [FIRST] }],
  ['a new pepper', { secrets: [SECOND], upcoming: FIRST }, { secrets: [FIRST, SECOND] }],
])('while %s is rolled out, every key is accepted by every instance, and its digest changes in one direction only', async (_, earlier, later) => {
  const [old, young] = [await boot(earlier), await boot(later)];
  const [ofOld, ofYoung] = [await issue(old), await issue(young)];
  expect((await rowOf(ofOld)).key_digest).not.toBe(underPepper(ofOld.key, FIRST));
  const everywhere = async () => {
    for (const app of [old, young])
      for (const { key } of [ofOld, ofYoung]) expect(await statusOf(app, key)).toBe(200);
  };
  await everywhere();
  await isStoredAs(ofOld, underPepper(ofOld.key, FIRST));
  await everywhere();
  const late = await issue(old);
  await everywhere();
  expect(await statusOf(old, late.key)).toBe(200);
  for (const each of [ofOld, ofYoung])
    expect((await rowOf(each)).key_digest).toBe(underPepper(each.key, FIRST));
});

it('a revocation between a use and the rewrite of the digest is kept', async () => {
  const issued = await issue(await boot(null));
  const app = await boot({ secrets: [FIRST] });
  expect(await statusOf(app, issued.key)).toBe(200);
  await app.keys.revoke(issued.apiKey.id);
  await isStoredAs(issued, underPepper(issued.key, FIRST));
  expect((await rowOf(issued)).revoked_at).not.toBeNull();
  expect(await statusOf(app, issued.key)).toBe(401);
});

it('a rotated key and its successor are stored under the newest pepper', async () => {
  const app = await boot({ secrets: [FIRST] });
  const issued = await issue(app);
  const successor = await app.keys.rotate(issued.apiKey.id);
  expect((await rowOf(successor as IssuedApiKey)).key_digest).toBe(underPepper(successor?.key ?? '', FIRST));
  expect([await statusOf(app, issued.key), await statusOf(app, successor?.key ?? '')]).toEqual([200, 200]);
});

describe('on the table of a Rails app', () => {
  beforeEach(async () => {
    database = await createRailsDatabase();
    const dataSource = await new AppDataSource(database).initialize();
    await dataSource.runMigrations();
    await dataSource.destroy();
  });

  it('a pepper stops the boot, unless the app may be locked out', async () => {
    await expect(boot({ secrets: [FIRST] })).rejects.toThrow('lockOutRails');
    const [rails] = RAILS_KEYS.filter(({ expiresAt }) => expiresAt === null);
    const { key = '' } = rails ?? {};
    const known = () => asRails(database, (client) => railsAuthenticates(client, plain(key)));
    const app = await boot({ secrets: [FIRST], lockOutRails: true }, { format: 'hex' });
    expect([await known(), await statusOf(app, key)]).toEqual([true, 200]);
    await until(async () => !(await known()));
    expect(await statusOf(app, key)).toBe(200);
  });
});
