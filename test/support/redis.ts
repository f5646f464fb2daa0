import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { endNow, freePort } from './child-server';

const PROGRAM = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'redis-server'))
  .find(isExecutable);

/**
 * Number of attempts to start Redis on a free port. Another process may take the port before Redis
 * does.
 */
const TRIES = 5;

/**
 * Whether Redis is available: `REDIS_URL`, or a `redis-server` on this machine. Tests with Redis
 * are skipped if neither exists.
 */
export const hasRedis = Boolean(process.env.REDIS_URL) || PROGRAM !== undefined;

/** Whether a test can start and stop a separate Redis. */
export const hasRedisServer = PROGRAM !== undefined;

/** A Redis for a test. */
export interface TestRedis {
  readonly url: string;
  stop(): Promise<void>;
}

/** A separate Redis that a test may stop and start again. */
export interface OwnRedis extends TestRedis {
  start(): Promise<void>;
}

/** Returns the Redis of `REDIS_URL`, or starts a separate Redis. */
export async function testRedis(): Promise<TestRedis> {
  const url = process.env.REDIS_URL;
  return url ? { url, stop: async () => {} } : ownRedis();
}

/** Starts a `redis-server` on a free port, without storage on disk. */
export async function ownRedis(): Promise<OwnRedis> {
  if (PROGRAM === undefined) throw new Error('there is no redis-server on the PATH');
  let port = await freePort();
  let server: ChildProcess | undefined;
  const isUp = async () => {
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    const child = spawn(PROGRAM, args, { stdio: 'ignore' });
    server = child;
    const client = new Redis(port, '127.0.0.1', { retryStrategy: () => 20, maxRetriesPerRequest: null });
    client.on('error', () => {});
    const answers = client.ping().then(
      () => true,
      () => false,
    );
    const ends = once(child, 'exit').then(() => false);
    return Promise.race([answers, ends]).finally(() => client.disconnect());
  };
  const start = async () => {
    if (!(await isUp())) throw new Error(`redis-server did not start on port ${port}`);
  };
  for (let tries = 1; !(await isUp()); tries++) {
    if (tries === TRIES) throw new Error('redis-server did not start');
    port = await freePort();
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    stop: async () => {
      if (server) await endNow(server);
    },
  };
}

function isExecutable(program: string): boolean {
  try {
    accessSync(program, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
