import { execFileSync } from 'node:child_process';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { Logger } from '@nestjs/common';
import { createMigratedDatabase, createUser } from '../../support/database';
import {
  bootOn,
  type Ground,
  type GroundSettings,
  poolOf,
  UNCACHED,
  untilCached,
} from '../../support/ground';
import { listeningPooler } from '../../support/listening-pooler';
import { until } from '../../support/until';

const running: Ground[] = [];
let database: string;
let userId: string;

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});
afterEach(async () => {
  for (const each of running.splice(0)) await each.close();
});

async function boot(settings: GroundSettings = {}, url = database): Promise<Ground> {
  const ground = await bootOn(url, settings);
  running.push(ground);
  return ground;
}

/** Ends all sessions of a database while this process hears nothing, as one that is frozen. */
function endSessionsUnheard(url: string): void {
  const script = `const { Client } = require('pg'); const client = new Client({ connectionString: ${JSON.stringify(url)} });
    client.connect().then(() => client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()')).then(() => client.end())`;
  execFileSync(process.execPath, ['-e', script], { cwd: join(__dirname, '../../..') });
}

describe('a process that was frozen while its connections were closed', () => {
  it('authenticates with its first look-up after its connections were closed unnoticed', async () => {
    const { keys } = await boot({ options: UNCACHED });
    const { key } = await keys.create({ userId, name: 'ci' });
    expect(await keys.verify(key)).toMatchObject({ ok: true });
    endSessionsUnheard(database);
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('revokes a key with its first revocation after its connections were closed unnoticed', async () => {
    const { keys } = await boot({ options: UNCACHED });
    const { key, apiKey } = await keys.create({ userId, name: 'ci' });
    endSessionsUnheard(database);
    await keys.revoke(apiKey.id);
    expect(await keys.verify(key)).toMatchObject({ ok: false });
  });
});

describe('behind a pooler that listens in place of its clients', () => {
  it('accepts no revoked key after a pooler that listens for it lost a notification', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation();
    const pooler = await listeningPooler(database);
    try {
      const patience = { cache: { leaseMs: 10_000, heartbeatMs: 50, lookUpTimeoutMs: 10_000 } };
      const direct = await boot({ options: patience });
      const pooled = await boot({ options: patience }, pooler.url);
      const { key, apiKey } = await direct.keys.create({ userId, name: 'ci' });
      await until(() => warn.mock.calls.some(([line]) => /pooler/.test(String(line))));
      expect(await pooled.keys.verify(key)).toMatchObject({ ok: true });
      await pooler.stopListening();
      await direct.keys.revoke(apiKey.id);
      await pooler.listenAgain();
      expect(pooled.keys.verificationStatus.leaseHeld).toBe(false);
      expect(await pooled.keys.verify(key)).toMatchObject({ ok: false });
    } finally {
      await pooler.close();
      warn.mockRestore();
    }
  });
});

it('authenticates after a statement was prepared in a transaction that was rolled back', async () => {
  const { keys, dataSource } = await boot({ typeorm: { extra: { max: 1 } }, options: UNCACHED });
  const { key } = await keys.create({ userId, name: 'ci' });
  const client = await poolOf(dataSource).connect();
  await client.query('BEGIN');
  await client.query({ name: 'mine', text: 'SELECT 1' });
  await client.query('ROLLBACK');
  client.release();
  for (let i = 0; i < 3; i++) expect(await keys.verify(key)).toMatchObject({ ok: true });
});

it('caches keys if the application opens the sockets of pg itself', async () => {
  const url = new URL(database);
  const port = Number(url.port);
  url.hostname = 'database.invalid';
  class Tunnel extends Socket {
    override connect(): this {
      return super.connect(port, '127.0.0.1');
    }
  }
  const ground = await boot({ typeorm: { url: url.href, extra: { stream: () => new Tunnel() } } });
  await untilCached(ground);
  const { key, apiKey } = await ground.keys.create({ userId, name: 'ci' });
  expect(await ground.keys.verify(key)).toMatchObject({ ok: true });
  await ground.keys.revoke(apiKey.id);
  expect(await ground.keys.verify(key)).toMatchObject({ ok: false });
});
