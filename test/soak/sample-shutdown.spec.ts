import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { runningEmbeddedPostgres } from '../../src/embedded-postgres';
import { SHUT_DOWN_MS } from '../../src/shut-down';
import { ADAPTERS } from '../support/app';
import { createEmptyDatabase, createMigratedDatabase, sql } from '../support/database';
import { removeFolder, temporaryFolder } from '../support/folder';
import { demoKey, type Sample, startSample } from '../support/sample';
import { until } from '../support/until';

const ROOT = join(__dirname, '../..');

/**
 * Has an app on a database of its own wait for a lock that another session holds on its keys, with
 * a request in flight.
 */
async function stuckApp(database: string, start: () => Promise<Sample>) {
  const sample = await start();
  const key = await demoKey(sample);
  const ask = () => fetch(`${sample.url}/orders`, { headers: { 'x-api-key': key } });
  expect((await ask()).status).toBe(200);
  const holder = await hold(database, 'orders');
  const hanging = ask().catch(() => undefined);
  await waitingFor(database, 'SELECT%orders%');
  return { sample, release: () => Promise.all([holder.end(), hanging]) };
}

async function hold(database: string, table: string): Promise<Client> {
  const holder = new Client({ connectionString: database });
  holder.on('error', () => {});
  await holder.connect();
  await holder.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
  return holder;
}

async function waitingFor(database: string, query: string): Promise<void> {
  const waiting = `SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`;
  await until(async () => (await sql(database, waiting, [query])).length > 0);
}

/**
 * Sends SIGTERM and waits for the end and all of the output; the exit code, which is 1 where the
 * app's own deadline ended it.
 */
async function terminate(child: ChildProcess): Promise<number> {
  child.kill('SIGTERM');
  const [code] = await once(child, 'close');
  return code;
}

it('the deadline of a shutdown is below the 5 s of the contract', () => {
  expect(SHUT_DOWN_MS).toBeLessThan(5_000);
});

const cutOffLines = (output: string) => output.split('\n').filter((line) => /cut off/i.test(line));

it.concurrent.each(
  ADAPTERS,
)('on %s SIGTERM ends within 5 s, and a line says what was cut off, while another session holds the orders locked', async (adapter) => {
  const database = await createEmptyDatabase();
  const { sample, release } = await stuckApp(database, () =>
    startSample({ DATABASE_URL: database, HTTP_ADAPTER: adapter }),
  );
  expect(await terminate(sample.process)).toBe(1);
  expect(cutOffLines(sample.output())).toEqual([expect.stringMatching(/requests in flight/)]);
  await release();
});

it.concurrent('SIGTERM ends within 5 s while another session holds the keys locked and a use is to be written', async () => {
  const database = await createEmptyDatabase();
  const sample = await startSample({ DATABASE_URL: database });
  const key = await demoKey(sample);
  expect((await fetch(`${sample.url}/orders`, { headers: { 'x-api-key': key } })).status).toBe(200);
  const holder = await hold(database, 'api_keys');
  expect([0, 1]).toContain(await terminate(sample.process));
  await holder.end();
});

it.concurrent('SIGTERM during a start that waits for a lock ends within 5 s, and says that the start was cut off', async () => {
  const database = await createMigratedDatabase();
  const holder = await hold(database, 'api_keys');
  const child = spawn(process.execPath, ['dist/src/main.js'], {
    cwd: ROOT,
    env: { ...process.env, PORT: '0', DATABASE_URL: database },
  });
  let output = '';
  child.stderr.on('data', (chunk) => (output += chunk));
  await waitingFor(database, '%key_prefix%');
  expect(await terminate(child)).toBe(1);
  expect(cutOffLines(output)).toEqual([expect.stringMatching(/the start/)]);
  await holder.end();
});

describe('the embedded PostgreSQL', () => {
  let folder: string;

  beforeEach(() => {
    folder = temporaryFolder();
  });

  afterEach(() => {
    removeFolder(folder);
  });

  const postmasterPid = () => join(realpathSync(join(folder, 'data/postgres')), 'postmaster.pid');

  it('is stopped within 5 s of SIGTERM as well, although another session holds the orders locked', async () => {
    const dataDir = join(folder, 'data');
    const sample = await startSample({ DATA_DIR: dataDir });
    const database = String((await runningEmbeddedPostgres(dataDir))?.url);
    const { release } = await stuckApp(database, async () => sample);
    expect(await terminate(sample.process)).toBe(1);
    await until(() => !existsSync(postmasterPid()));
    expect(cutOffLines(sample.output())).toHaveLength(1);
    await release();
  });

  it('that does not answer any more does not keep the process longer than 5 s', async () => {
    const dataDir = join(folder, 'data');
    const sample = await startSample({ DATA_DIR: dataDir });
    const [server] = readFileSync(postmasterPid(), 'utf8').split('\n');
    const [tenancy] = await sql<{ pid: number }>(
      String((await runningEmbeddedPostgres(dataDir))?.url),
      "SELECT pid FROM pg_stat_activity WHERE application_name = 'embedded-postgres tenancy'",
    );
    if (!tenancy) throw new Error('no tenancy');
    process.kill(tenancy.pid, 'SIGSTOP');
    try {
      expect(await terminate(sample.process)).toBe(1);
      expect(cutOffLines(sample.output())).toEqual([expect.stringMatching(/the stop of the database/)]);
    } finally {
      process.kill(tenancy.pid, 'SIGCONT');
      process.kill(Number(server), 'SIGINT');
      await until(() => !existsSync(postmasterPid()));
    }
  });

  it('that is still starting when the process ends is ended with it', async () => {
    const postgres = join(folder, 'postgres');
    const pidFile = join(folder, 'pid');
    writeFileSync(postgres, `#!/bin/sh\necho $$ >${pidFile}\nexec sleep 600\n`);
    chmodSync(postgres, 0o755);
    const server = JSON.stringify({ folder, binaries: { postgres }, log: join(folder, 'log') });
    const script = `void require('./dist/src/embedded-postgres/postmaster').startPostmaster(${server});
      process.stdin.once('data', () => process.exit(1));`;
    const app = spawn(process.execPath, ['-e', script], { cwd: ROOT });
    const pid = () => (existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0);
    await until(() => pid() > 0);
    app.stdin.write('end\n');
    await once(app, 'exit');
    await until(() => !isAlive(pid()));
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
