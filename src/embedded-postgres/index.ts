import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { dataDirError } from '../start-errors';
import { serverAccount } from './account';
import type { Binaries } from './binaries';
import { clusterFolder, ensureCluster } from './cluster';
import { ensurePasswords, type Passwords, passwordsOf, wrongPasswords } from './passwords';
import { type Postmaster, runningPostmaster, startPostmaster, stopPostmaster } from './postmaster';
import { secureServer } from './roles';

/** Connection strings of a server that listens only on 127.0.0.1. */
export interface EmbeddedUrls {
  /** Connection string of the superuser, for tests and tools. */
  readonly url: string;
  /** Connection string of the app. Its ordinary role owns the database `postgres`. */
  readonly appUrl: string;
}

/**
 * A PostgreSQL server that all processes with the same data folder share. The data folder contains
 * a file with the passwords, which only the owner of the file can read.
 */
export interface EmbeddedPostgres extends EmbeddedUrls {
  /** Releases the server. Stops the server if no other process uses it. */
  stop(): Promise<void>;
  /**
   * Stops the server without waiting, even if other processes use the server. For an `exit`
   * handler.
   */
  stopNow(): void;
}

/** Options of the embedded server. */
export interface EmbeddedPostgresOptions {
  /** Folder of all stored data. The folder is created if it is missing. */
  readonly dataDir: string;
  /** Receives a message before each slow step. */
  readonly report?: (line: string) => void;
  /** Settings of the server, each as `name=value`. */
  readonly settings?: readonly string[];
  /** Paths of the PostgreSQL programs. Default: the programs from npm. */
  readonly binaries?: Binaries;
}

/**
 * Key of an advisory lock. Each process that uses the server holds a shared lock. A process stops
 * the server only if it gets the exclusive lock, because then no other process uses the server.
 */
const TENANCY = 7_160_211;
/** SQLSTATE of a wrong password. */
const WRONG_PASSWORD = '28P01';
const ATTEMPTS = 20;
const RETRY_MS = 250;

/**
 * Uses the running server of a data folder, or starts a server.
 * @throws Error with the end of the log if the server does not start
 * @throws Error if the server does not accept the passwords in the data folder
 */
export async function useEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  const passwords = preparedFolder(dataDir);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const postmaster = await findOrStart(dataDir, passwords, options);
    const tenancy = postmaster && (await enter(postmaster, dataDir, passwords));
    if (tenancy) {
      return {
        ...urlsOf(postmaster, passwords),
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

/**
 * Returns the connection strings of the running server of a data folder, or `null` if no server is
 * running.
 */
export async function runningEmbeddedPostgres(dataDir: string): Promise<EmbeddedUrls | null> {
  const postmaster = await runningPostmaster(clusterFolder(resolve(dataDir)));
  const passwords = passwordsOf(resolve(dataDir));
  return postmaster && passwords && urlsOf(postmaster, passwords);
}

/** Creates the data folder with its passwords, if they are missing. */
function preparedFolder(dataDir: string): Passwords {
  try {
    mkdirSync(dataDir, { recursive: true });
    return ensurePasswords(dataDir);
  } catch (error) {
    throw dataDirError(error, dataDir);
  }
}

async function findOrStart(
  dataDir: string,
  { superuser }: Passwords,
  { report = () => {}, settings, binaries }: EmbeddedPostgresOptions,
): Promise<Postmaster | null> {
  const running = await runningPostmaster(clusterFolder(dataDir));
  if (running) return running;
  const account = serverAccount();
  const cluster = ensureCluster(dataDir, superuser, account, binaries, report);
  report('Starting the embedded PostgreSQL ...');
  return startPostmaster({ ...cluster, account, log: logOf(dataDir), settings });
}

/**
 * Connects to a server and takes the shared lock. Returns `null` if the server is shutting down.
 * @throws Error if the server does not accept the passwords
 */
async function enter(postmaster: Postmaster, dataDir: string, passwords: Passwords): Promise<Client | null> {
  const { url, appUrl } = urlsOf(postmaster, passwords);
  const client = new Client({ connectionString: appUrl, application_name: 'embedded-postgres tenancy' });
  client.on('error', () => {});
  try {
    await secureServer({ url, folder: clusterFolder(dataDir), passwords, tenancy: TENANCY });
    await client.connect();
    await client.query('SELECT pg_advisory_lock_shared($1)', [TENANCY]);
    return client;
  } catch (error) {
    await client.end().catch(() => {});
    if ((error as { code?: unknown }).code === WRONG_PASSWORD) throw wrongPasswords(dataDir, error);
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
    // The server has already stopped, so there is no lock to release.
  } finally {
    await tenancy.end().catch(() => {});
  }
}

function urlsOf({ port }: Postmaster, { superuser, app }: Passwords): EmbeddedUrls {
  const at = `@127.0.0.1:${port}/postgres`;
  return { url: `postgres://postgres:${superuser}${at}`, appUrl: `postgres://app:${app}${at}` };
}

function logOf(dataDir: string): string {
  return join(dataDir, 'postgres.log');
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
}
