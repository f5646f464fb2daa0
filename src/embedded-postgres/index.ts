import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { serverAccount } from './account';
import type { Binaries } from './binaries';
import { clusterFolder, ensureCluster } from './cluster';
import { type Postmaster, runningPostmaster, startPostmaster, stopPostmaster } from './postmaster';

/** A PostgreSQL server that all processes with the same data folder share. */
export interface EmbeddedPostgres {
  /**
   * Connection string. The server listens only on 127.0.0.1 and requires no password: use it only
   * for trials.
   */
  readonly url: string;
  /** Releases the server. Stops the server if no other process uses it. */
  stop(): Promise<void>;
  /** Stops the server without waiting, even if other processes use it. For an `exit` handler. */
  stopNow(): void;
}

/** Options of the embedded server. */
export interface EmbeddedPostgresOptions {
  /** Folder of all stored data. Created if it is missing. */
  readonly dataDir: string;
  /** Receives a message before each slow step. */
  readonly report?: (line: string) => void;
  /** Settings of the server as `name=value`. */
  readonly settings?: readonly string[];
  /** The PostgreSQL programs. Default: the programs from npm. */
  readonly binaries?: Binaries;
}

/**
 * Key of an advisory lock. Each user of the server has a shared lock. The last user takes an
 * exclusive lock to stop the server.
 */
const TENANCY = 7_160_211;
const ATTEMPTS = 20;
const RETRY_MS = 250;

/**
 * Uses the running server of a data folder, or starts a server.
 * @throws Error with the end of the server's log if the server does not start
 */
export async function useEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true });
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const postmaster = await findOrStart(dataDir, options);
    const tenancy = postmaster && (await enter(postmaster));
    if (tenancy) {
      return {
        url: urlOf(postmaster),
        stop: () => leave(tenancy, postmaster),
        stopNow: () => void process.kill(postmaster.pid, 'SIGINT'),
      };
    }
    await delay(RETRY_MS);
  }
  throw new Error(
    `The embedded PostgreSQL does not start. Its log, ${logOf(dataDir)}, ends:\n${tail(logOf(dataDir))}`,
  );
}

/** Returns the connection string of the running server of a data folder, or null. */
export async function runningEmbeddedPostgres(dataDir: string): Promise<string | null> {
  const postmaster = await runningPostmaster(clusterFolder(resolve(dataDir)));
  return postmaster && urlOf(postmaster);
}

async function findOrStart(
  dataDir: string,
  { report = () => {}, settings, binaries }: EmbeddedPostgresOptions,
): Promise<Postmaster | null> {
  const running = await runningPostmaster(clusterFolder(dataDir));
  if (running) return running;
  const account = serverAccount();
  const cluster = ensureCluster(dataDir, account, binaries, report);
  report('Starting the embedded PostgreSQL ...');
  return startPostmaster({ ...cluster, account, log: logOf(dataDir), settings });
}

/**
 * Connects to the server and takes the shared lock. Returns null if the server is shutting down.
 */
async function enter(postmaster: Postmaster): Promise<Client | null> {
  const client = new Client({
    connectionString: urlOf(postmaster),
    application_name: 'embedded-postgres tenancy',
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SELECT pg_advisory_lock_shared($1)', [TENANCY]);
    return client;
  } catch {
    await client.end().catch(() => {});
    return null;
  }
}

async function leave(tenancy: Client, postmaster: Postmaster): Promise<void> {
  try {
    await tenancy.query('SELECT pg_advisory_unlock_shared($1)', [TENANCY]);
    const { rows } = await tenancy.query<{ last: boolean }>('SELECT pg_try_advisory_lock($1) AS last', [
      TENANCY,
    ]);
    if (rows[0]?.last) await stopPostmaster(postmaster);
  } catch {
    // The server is already gone, so there is no lock to release.
  } finally {
    await tenancy.end().catch(() => {});
  }
}

function urlOf({ port }: Postmaster): string {
  return `postgres://postgres@127.0.0.1:${port}/postgres`;
}

function logOf(dataDir: string): string {
  return join(dataDir, 'postgres.log');
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
}
