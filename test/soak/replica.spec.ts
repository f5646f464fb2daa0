import { Logger } from '@nestjs/common';
import { ApiKeyHealthIndicator, type ApiKeyOptions } from 'nestjs-api-key';
import { openDatabase } from '../../src/database/open-database';
import { bootApp, type TestApp } from '../support/app';
import { createUser, sql } from '../support/database';
import { layered } from '../support/layered';
import { type MovingAddress, movingAddress } from '../support/moving-address';
import { startSample } from '../support/sample';
import { type Replication, startReplication } from '../support/standby';
import { until } from '../support/until';

const LEASE: ApiKeyOptions = { cache: { leaseMs: 500, heartbeatMs: 50 } };

let servers: Replication;
let address: MovingAddress;
let userId: string;
let warnings: string[];
const running: TestApp[] = [];

beforeAll(async () => {
  servers = await startReplication(async (url) => (await openDatabase(url)).destroy());
});

afterAll(() => servers.stop());

beforeEach(async () => {
  address = await movingAddress(servers.primary.url);
  userId = await createUser(servers.primary.url);
  warnings = [];
  jest.spyOn(Logger.prototype, 'warn').mockImplementation((line: string) => void warnings.push(line));
});

afterEach(async () => {
  await sql(servers.standby.url, 'SELECT pg_wal_replay_resume()');
  await Promise.all(running.splice(0).map((app) => app.close()));
  jest.restoreAllMocks();
});

async function instance(database: string, options: ApiKeyOptions = {}): Promise<TestApp> {
  const app = await bootApp({ database, options: layered(LEASE, options) });
  running.push(app);
  return app;
}

/** Waits until the standby has what the primary has now. */
async function untilReplayed(): Promise<void> {
  const [at] = await sql<{ lsn: string }>(
    servers.primary.url,
    'SELECT pg_current_wal_insert_lsn()::text AS lsn',
  );
  await until(async () => {
    const [row] = await sql<{ done: boolean }>(
      servers.standby.url,
      'SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done',
      [at?.lsn],
    );
    return row?.done === true;
  });
}

const outcome = (app: TestApp, key: string) =>
  app.keys.verify(key).then(
    ({ ok }) => (ok ? 'accepted' : 'refused'),
    ({ code }) => code,
  );
const health = async (app: TestApp) => (await app.app.get(ApiKeyHealthIndicator).isHealthy()).apiKeys.status;

it.each<[string, ApiKeyOptions]>([
  ['keys are cached', {}],
  ['no key is cached', { cache: { size: 0 } }],
])('if %s, no replica answers a look-up, neither of a revoked key nor of an unknown key', async (_, options) => {
  const app = await instance(address.url, options);
  const revoking = await instance(servers.primary.url);
  const { key, apiKey } = await app.keys.create({ userId, name: 'ci' });
  const other = await app.keys.create({ userId, name: 'other' });
  expect(await outcome(app, key)).toBe('accepted');
  await untilReplayed();
  await sql(servers.standby.url, 'SELECT pg_wal_replay_pause()');
  address.moveTo(servers.standby.url);
  await revoking.keys.revoke(apiKey.id, { everywhere: true });
  const unknown = await revoking.keys.create({ userId, name: 'made meanwhile' });
  for (const each of [key, other.key, unknown.key])
    expect(await outcome(app, each)).toBe('KEY_STORE_UNAVAILABLE');
  expect(await Promise.all([key, other.key, unknown.key].map((each) => outcome(app, each)))).toEqual(
    Array(3).fill('KEY_STORE_UNAVAILABLE'),
  );
  expect(await health(app)).toBe('down');
  if (options.cache?.size !== 0)
    await until(() =>
      warnings.some((line) => /^The revocation feed does not work.* is to a replica/.test(line)),
    );
  await sql(servers.standby.url, 'SELECT pg_wal_replay_resume()');
  address.moveTo(servers.primary.url);
  await until(async () => (await outcome(app, other.key)) === 'accepted');
  expect([await outcome(app, key), await outcome(app, unknown.key), await health(app)]).toEqual([
    'refused',
    'accepted',
    'up',
  ]);
});

it('the health indicator is down also while the feed still listens on the primary', async () => {
  const app = await instance(address.url);
  const { key } = await app.keys.create({ userId, name: 'ci' });
  await until(() => app.keys.verificationStatus.leaseHeld);
  address.moveNewTo(servers.standby.url);
  await sql(
    servers.primary.url,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '' AND pid <> pg_backend_pid() AND query NOT LIKE '%LISTEN%'`,
  );
  await until(async () => {
    expect(await outcome(app, key)).not.toBe('refused');
    return (await health(app)) === 'down';
  });
  expect(app.keys.verificationStatus.leaseHeld).toBe(true);
});

it('an instance does not start on a replica, and the error has the reason', async () => {
  await untilReplayed();
  await expect(instance(servers.standby.url)).rejects.toThrow(
    /ApiKeyModule: the connection is to a replica, .* Give the library a data source that connects to the primary/,
  );
});

it('GET /health of the sample answers 503 while its database is a replica', async () => {
  const sample = await startSample({ DATABASE_URL: address.url });
  const status = async () => (await fetch(`${sample.url}/health`)).status;
  expect(await status()).toBe(200);
  await untilReplayed();
  address.moveTo(servers.standby.url);
  await until(async () => (await status()) === 503);
  address.moveTo(servers.primary.url);
  await until(async () => (await status()) === 200);
  await sample.stop();
});
