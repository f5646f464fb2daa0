import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Account } from './account';
import type { Cluster } from './cluster';

/** A running server, as described by its file `postmaster.pid`. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
}

/** Settings with which a server is started. */
export interface ServerSettings extends Cluster {
  readonly account: Account | undefined;
  /** Path of the log file of the server. */
  readonly log: string;
  /** Additional settings of PostgreSQL, each as `name=value`. */
  readonly settings?: readonly string[];
}

const POLL_MS = 20;
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 30_000;

/**
 * Returns the running server of a cluster, or `null` if no server is running. Another process may
 * have started this server, even a process that was killed.
 */
export async function runningPostmaster(cluster: string): Promise<Postmaster | null> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < deadline) {
    const found = readPidFile(cluster);
    if (!found || !isAlive(found.pid)) return null;
    if (!isPostgres(found.pid)) {
      rmSync(join(cluster, 'postmaster.pid'), { force: true });
      return null;
    }
    if (found.ready) return found;
    await delay(POLL_MS);
  }
  throw new Error(
    `The PostgreSQL of ${cluster} does not become ready: look at postgres.log beside it, or stop it.`,
  );
}

/**
 * Starts a server on 127.0.0.1 and a free port. Returns `null` if the server ended at once, for
 * example because a concurrent start was faster. The server runs in a separate process group, so
 * that Ctrl-C reaches only the app. The app stops the server when the app ends. If this process
 * exits before the server is ready, an `exit` handler stops the server.
 */
export async function startPostmaster({
  folder,
  binaries,
  account,
  log,
  settings = [],
}: ServerSettings): Promise<Postmaster | null> {
  const options = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'timezone=UTC',
    'log_timezone=UTC',
    ...settings,
  ];
  const args = ['-D', folder, '-p', String(await freePort()), ...options.flatMap((option) => ['-c', option])];
  const output = openSync(log, 'a');
  const env = { PATH: process.env.PATH, TZ: 'UTC' };
  const child = spawn(binaries.postgres, args, {
    ...account,
    cwd: '/',
    env,
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  child.unref();
  const ended = new Promise<null>((resolve) => {
    child.once('error', () => resolve(null));
    child.once('exit', () => resolve(null));
  });
  const giveUp = () => child.kill('SIGINT');
  process.once('exit', giveUp);
  return Promise.race([ended, becomesReady(folder, child.pid)]).finally(() => process.off('exit', giveUp));
}

/** Stops a server with a fast shutdown: open connections are closed, and committed data is kept. */
export async function stopPostmaster({ pid }: Postmaster): Promise<void> {
  process.kill(pid, 'SIGINT');
  const deadline = performance.now() + STOP_TIMEOUT_MS;
  while (isAlive(pid) && performance.now() < deadline) await delay(POLL_MS);
}

async function becomesReady(cluster: string, pid: number | undefined): Promise<Postmaster | null> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (pid !== undefined && isAlive(pid) && performance.now() < deadline) {
    const found = readPidFile(cluster);
    if (found?.pid === pid && found.ready) return found;
    await delay(POLL_MS);
  }
  return null;
}

/**
 * Reads `postmaster.pid`. Line 1 is the process id, line 4 the port, and line 8 the state
 * (LOCK_FILE_LINE_* in utils/pidfile.h of PostgreSQL).
 */
function readPidFile(cluster: string): (Postmaster & { ready: boolean }) | null {
  try {
    const lines = readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n');
    return { pid: Number(lines[0]), port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Returns whether a process has ended but still has a process id. It keeps the process id until its
 * parent process reads the exit status.
 */
function isZombie(pid: number): boolean {
  return /^State:\s+Z/m.test(procFile(pid, 'status') ?? '');
}

/**
 * Returns whether a process is a PostgreSQL server. After a restart of a machine or container,
 * another process may have the process id of an old `postmaster.pid`.
 */
function isPostgres(pid: number): boolean {
  return procFile(pid, 'cmdline')?.split('\0')[0]?.endsWith('postgres') ?? true;
}

function procFile(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return undefined;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
