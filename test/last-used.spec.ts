import { Client } from 'pg';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { watchStatements } from './support/statements';
import { until } from './support/until';

const ONE_HOUR_MS = 3_600_000;

let database: string;
let userId: string;

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

const boot = (lastUsedIntervalMs = ONE_HOUR_MS) =>
  bootApp({ database, options: { usage: { lastUsedIntervalMs } } });
const issue = (app: TestApp) => app.keys.create({ userId, name: 'ci' });

async function lastUsed(id: string): Promise<Date | null> {
  const [row] = await sql<{ at: Date | null }>(
    database,
    'SELECT last_used_at AS at FROM api_keys WHERE id = $1',
    [id],
  );
  return row?.at ?? null;
}

it('a thousand uses of ten keys send no statement during the requests, and one at shutdown', async () => {
  const app = await boot();
  const issued = await Promise.all(Array.from({ length: 10 }, () => issue(app)));
  const statements = watchStatements();
  for (let i = 0; i < 100; i++) await Promise.all(issued.map(({ key }) => app.keys.authenticate(key)));
  const updates = () => statements.texts().filter((text) => /SET last_used_at/.test(text)).length;
  expect(updates()).toBe(0);
  await app.close();
  expect(updates()).toBe(1);
  statements.restore();
  const [{ written }] = (await sql(database, 'SELECT count(last_used_at)::int AS written FROM api_keys')) as [
    { written: number },
  ];
  expect(written).toBe(10);
});

it('uses are written at each interval', async () => {
  const app = await boot(100);
  const { key, apiKey } = await issue(app);
  await app.keys.authenticate(key);
  await until(async () => (await lastUsed(apiKey.id)) !== null);
  await app.close();
});

it('verify is not a use', async () => {
  const app = await boot();
  const { key, apiKey } = await issue(app);
  await app.keys.verify(key);
  await app.close();
  expect(await lastUsed(apiKey.id)).toBeNull();
});

it('the last-used time only moves forward', async () => {
  const app = await boot();
  const { key, apiKey } = await issue(app);
  await sql(database, `UPDATE api_keys SET last_used_at = '2100-01-01T00:00:00Z'`);
  await app.keys.authenticate(key);
  await app.close();
  expect(await lastUsed(apiKey.id)).toEqual(new Date('2100-01-01T00:00:00Z'));
});

it('the last-used time comes from the clock of the database, and updated_at stays unchanged', async () => {
  const app = await boot();
  const { key, apiKey } = await issue(app);
  const [before] = await sql(database, 'SELECT updated_at, clock_timestamp() AS now FROM api_keys');
  await app.keys.authenticate(key);
  await app.close();
  const [after] = await sql(database, 'SELECT updated_at, clock_timestamp() AS now FROM api_keys');
  const at = await lastUsed(apiKey.id);
  expect(after?.updated_at).toEqual(before?.updated_at);
  expect(Number(at)).toBeGreaterThanOrEqual(Number(before?.now));
  expect(Number(at)).toBeLessThanOrEqual(Number(after?.now));
});

it('a locked row waits for the next write and delays no other row', async () => {
  const app = await boot(100);
  const [locked, free] = [await issue(app), await issue(app)];
  const holder = new Client({ connectionString: database });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [locked.apiKey.id]);
  await app.keys.authenticate(locked.key);
  await app.keys.authenticate(free.key);
  await until(async () => (await lastUsed(free.apiKey.id)) !== null);
  expect(await lastUsed(locked.apiKey.id)).toBeNull();
  await holder.query('COMMIT');
  await holder.end();
  await until(async () => (await lastUsed(locked.apiKey.id)) !== null);
  await app.close();
});

it('a revocation between a use and its write is kept', async () => {
  const app = await boot();
  const { key, apiKey } = await issue(app);
  await app.keys.authenticate(key);
  const revoked = await app.keys.revoke(apiKey.id);
  await app.close();
  const [row] = await sql(database, 'SELECT revoked_at, expires_at FROM api_keys');
  expect(row).toEqual({ revoked_at: revoked?.apiKey?.revokedAt, expires_at: revoked?.apiKey?.expiresAt });
  expect(await lastUsed(apiKey.id)).not.toBeNull();
});

it('the use of a deleted key is dropped', async () => {
  const app = await boot();
  const { key, apiKey } = await issue(app);
  await app.keys.authenticate(key);
  await app.keys.delete(apiKey.id);
  await app.close();
  expect(await sql(database, 'SELECT FROM api_keys')).toHaveLength(0);
});

it('uses that could not be written are written when the database accepts writes again', async () => {
  const app = await boot(100);
  const { key, apiKey } = await issue(app);
  await sql(database, 'ALTER TABLE api_keys ADD CONSTRAINT unwritable CHECK (last_used_at IS NULL)');
  const statements = watchStatements();
  await app.keys.authenticate(key);
  await until(() => statements.texts().filter((text) => /SET last_used_at/.test(text)).length > 1);
  statements.restore();
  await sql(database, 'ALTER TABLE api_keys DROP CONSTRAINT unwritable');
  await until(async () => (await lastUsed(apiKey.id)) !== null);
  await app.close();
});

it.each([
  'before',
  'after',
])('no use is lost at shutdown if TypeOrmModule is imported %s ApiKeyModule', async (order) => {
  const app = await bootApp({
    database,
    options: { usage: { lastUsedIntervalMs: ONE_HOUR_MS } },
    apiKeyModuleFirst: order === 'after',
  });
  const { key, apiKey } = await issue(app);
  await app.keys.authenticate(key);
  await app.close();
  expect(await lastUsed(apiKey.id)).not.toBeNull();
});

it('a shutdown does not wait for a locked table', async () => {
  const app = await boot();
  const { key } = await issue(app);
  await app.keys.authenticate(key);
  const holder = new Client({ connectionString: database });
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
  await app.close();
  await holder.end();
});
