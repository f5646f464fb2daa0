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
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Account, canEnter } from './account';
import { type Binaries, embeddedBinaries } from './binaries';

/** A folder of data, and the programs that serve it. */
export interface Cluster {
  readonly folder: string;
  readonly binaries: Binaries;
}

/** Where a cluster goes that the server's account could not reach inside the data folder. Survives a restart of the machine. */
const OUTSIDE = '/var/tmp/nestjs-api-key-';

const INITDB = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C'];

/** The folder of the cluster of a data folder; where that is a link, the cluster lies elsewhere. */
export function clusterFolder(dataDir: string): string {
  const folder = join(dataDir, 'postgres');
  return existsSync(folder) ? realpathSync(folder) : folder;
}

/**
 * The cluster of a data folder, made where there is none.
 * @throws Error with what initdb said
 */
export function ensureCluster(
  dataDir: string,
  account: Account | undefined,
  given: Binaries | undefined,
  report: (line: string) => void,
): Cluster {
  if (!existsSync(join(dataDir, 'postgres'))) createCluster(dataDir, account, given, report);
  const folder = clusterFolder(dataDir);
  return { folder, binaries: given ?? embeddedBinaries(account, dirname(folder)) };
}

/** Built aside and moved into place at once, so that two starts, or a kill, leave no half of one. */
function createCluster(
  dataDir: string,
  account: Account | undefined,
  given: Binaries | undefined,
  report: (line: string) => void,
): void {
  report('Preparing an embedded PostgreSQL ...');
  const home = canEnter(dataDir, account) ? dataDir : outsideHome(dataDir, report);
  const staging = mkdtempSync(join(home, 'postgres-new-'));
  try {
    initialize(staging, given ?? embeddedBinaries(account, home), account);
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

function initialize(folder: string, { initdb }: Binaries, account: Account | undefined): void {
  chmodSync(folder, 0o700);
  if (account) chownSync(folder, account.uid, account.gid);
  const env = { PATH: process.env.PATH, TZ: 'UTC' };
  const result = spawnSync(initdb, [`--pgdata=${folder}`, ...INITDB], {
    ...account,
    cwd: '/',
    env,
    encoding: 'utf8',
  });
  if (result.status !== 0) throw new Error(`initdb failed: ${result.stderr || result.error?.message}`);
}
