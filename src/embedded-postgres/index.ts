import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { serverAccount } from './account';
import type { Binaries } from './binaries';
import { clusterFolder, ensureCluster } from './cluster';
import { type Postmaster, runningPostmaster, startPostmaster, stopPostmaster } from './postmaster';

/** A PostgreSQL that this process shares with the others on the same data folder. */
export interface EmbeddedPostgres {
  /** Connection string; the server listens on 127.0.0.1 alone and asks for no password: for trying out only. */
  readonly url: string;
  /** Lets go of the server, and stops it where no other process uses it. */
  stop(): Promise<void>;
  /** Ends the server without waiting, for an `exit` handler, whoever else uses it. */
  stopNow(): void;
}

/** What to run, and how. */
export interface EmbeddedPostgresOptions {
  /** Folder of everything that is kept; made where it is missing. */
  readonly dataDir: string;
  /** Told what takes a while. */
  readonly report?: (line: string) => void;
  /** Settings of the server as `name=value`. */
  readonly settings?: readonly string[];
  /** The programs to run. Default: those from npm. */
  readonly binaries?: Binaries;
}

/** Key of the advisory lock that each user of the server holds shared, and that its last one takes alone to stop it. */
const TENANCY = 7_160_211;
const ATTEMPTS = 20;
const RETRY_MS = 250;

/**
 * Uses the server of a data folder: the one that runs, or one that it starts.
 * @throws Error that says what to do where it cannot start
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

/** The connection string of the server that runs on a data folder now, or null. */
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

/** Takes part in the server; null where it is just going down. */
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
    // The server is gone already, so there is nothing to let go of.
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
