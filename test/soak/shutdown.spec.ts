import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { ADAPTERS, type Adapter } from '../support/app';
import { createMigratedDatabase, createUser, sql } from '../support/database';
import { type FlakyProxy, flakyProxy } from '../support/flaky-proxy';
import { until } from '../support/until';

/** An application in a process of its own that ends only by itself, and what it prints. */
interface Running {
  readonly process: ChildProcess;
  readonly url: string;
  readonly key: string;
  stderr(): string;
}

let database: string;
let userId: string;
let proxy: FlakyProxy;
let running: Running | undefined;

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  proxy = await flakyProxy(database);
});

afterEach(async () => {
  running?.process.kill('SIGKILL');
  await proxy.cut();
});

async function start(adapter: Adapter): Promise<Running> {
  const child = spawn(process.execPath, [join(__dirname, '../fixtures/close-on-signal.cjs')], {
    env: { ...process.env, DATABASE_URL: proxy.url, USER_ID: userId, HTTP_ADAPTER: adapter },
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  await until(() => stdout.endsWith('\n') || child.exitCode !== null);
  if (child.exitCode !== null) throw new Error(`the app ended with ${child.exitCode}:\n${stderr}`);
  return { process: child, ...JSON.parse(stdout), stderr: () => stderr };
}

const statusOf = async (url: string, key: string) =>
  (await fetch(url, { headers: { authorization: `Bearer ${key}` } })).status;

/** Waits until it hears of revocations, and has served a key and refused another. */
async function use({ url, key }: Running): Promise<void> {
  const feeds = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'nestjs-api-key feed'`;
  await until(async () => (await sql(database, feeds)).length === 1);
  expect([await statusOf(url, key), await statusOf(url, 'not-a-key')]).toEqual([200, 401]);
}

/**
 * Closes the app, and waits as long as Jest's own limit lets it for its process to end, which
 * leaves no connection open.
 */
async function end({ process: child, stderr }: Running): Promise<void> {
  const ended = once(child, 'close');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  expect(stderr()).toBe('');
}

describe('a process ends by itself after its app is closed,', () => {
  it.each(
    ADAPTERS,
  )('on %s, because the library has no open handle, and all recorded uses and events are written', async (adapter) => {
    running = await start(adapter);
    await use(running);
    await end(running);
    const [written] = await sql(
      database,
      `SELECT (SELECT count(last_used_at)::int FROM api_keys) AS used,
         (SELECT sum(requests)::int FROM api_key_usage WHERE period = 'day') AS requests,
         (SELECT count(*)::int FROM api_key_windows) AS windows,
         (SELECT count(*)::int FROM api_key_quotas) AS quotas,
         (SELECT array_agg(type ORDER BY type) FROM api_key_events) AS events`,
    );
    expect(written).toEqual({
      used: 1,
      requests: 1,
      windows: 1,
      quotas: 2,
      events: ['accepted', 'created', 'refused'],
    });
  });

  it('at once after it began to listen', async () => {
    running = await start('express');
    await end(running);
  });

  it('while the database is unreachable, and uses and events cannot be written', async () => {
    running = await start('fastify');
    await use(running);
    await proxy.cut();
    expect(await statusOf(running.url, 'not-a-key')).toBe(401);
    await end(running);
  });
});
