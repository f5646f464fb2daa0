import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Account, canEnter } from './account';
import { type Binaries, embeddedBinaries } from './binaries';

/** A folder of PostgreSQL data, and the programs of its server. */
export interface Cluster {
  readonly folder: string;
  readonly binaries: Binaries;
}

/**
 * Prefix of the folder of a cluster if the account of the server cannot enter the data folder. This
 * folder survives a restart of the machine.
 */
const OUTSIDE = '/var/tmp/nestjs-api-key-';

const INITDB = ['--username=postgres', '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C'];

/**
 * Returns the folder of the cluster. The data folder contains the cluster, or a link to the
 * cluster.
 */
export function clusterFolder(dataDir: string): string {
  const folder = join(dataDir, 'postgres');
  return existsSync(folder) ? realpathSync(folder) : folder;
}

/**
 * Returns the cluster of a data folder. Creates the cluster if it is missing.
 * @throws Error with the output of initdb
 */
export function ensureCluster(
  dataDir: string,
  superuserPassword: string,
  account: Account | undefined,
  given: Binaries | undefined,
  report: (line: string) => void,
): Cluster {
  if (!existsSync(join(dataDir, 'postgres')))
    createCluster(dataDir, superuserPassword, account, given, report);
  const folder = clusterFolder(dataDir);
  return { folder, binaries: given ?? embeddedBinaries(account, dirname(folder)) };
}

/**
 * Creates the cluster in a temporary folder and renames the folder. Therefore the folder `postgres`
 * is never incomplete, even if two processes start at once or a process is killed.
 */
function createCluster(
  dataDir: string,
  superuserPassword: string,
  account: Account | undefined,
  given: Binaries | undefined,
  report: (line: string) => void,
): void {
  report('Preparing an embedded PostgreSQL ...');
  const home = canEnter(dataDir, account) ? dataDir : outsideHome(dataDir, report);
  const staging = mkdtempSync(join(home, 'postgres-new-'));
  try {
    initialize(staging, superuserPassword, given ?? embeddedBinaries(account, home), account);
    renameSync(staging, join(home, 'postgres'));
    if (home !== dataDir) symlinkSync(join(home, 'postgres'), join(dataDir, 'postgres'));
  } catch (error) {
    rmSync(home === dataDir ? staging : home, { recursive: true, force: true });
    if (!existsSync(join(dataDir, 'postgres'))) throw error;
  }
}

function outsideHome(dataDir: string, report: (line: string) => void): string {
  const home = mkdtempSync(OUTSIDE);
  chmodSync(home, 0o755);
  report(`The server may not enter ${dataDir}: its files go to ${home}, and a link leads there.`);
  return home;
}

function initialize(
  folder: string,
  superuserPassword: string,
  { initdb }: Binaries,
  account: Account | undefined,
): void {
  const passwordFile = `${folder}-password`;
  try {
    writeFileSync(passwordFile, superuserPassword, { mode: 0o600, flag: 'wx' });
    chmodSync(folder, 0o700);
    if (account) for (const path of [folder, passwordFile]) chownSync(path, account.uid, account.gid);
    const env = { PATH: process.env.PATH, TZ: 'UTC' };
    const result = spawnSync(initdb, [`--pgdata=${folder}`, `--pwfile=${passwordFile}`, ...INITDB], {
      ...account,
      cwd: '/',
      env,
      encoding: 'utf8',
    });
    if (result.status !== 0) throw new Error(`initdb failed: ${result.stderr || result.error?.message}`);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}
