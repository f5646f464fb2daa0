import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openDatabase } from '../../src/database/open-database';
import { serverAccount } from '../../src/embedded-postgres/account';
import { embeddedBinaries } from '../../src/embedded-postgres/binaries';
import { startPostmaster, stopPostmaster } from '../../src/embedded-postgres/postmaster';

/**
 * Creates a data folder in the format of earlier versions. In such a folder, each local user may
 * connect in any role without a password, and all tables belong to the superuser.
 * @param fill runs on the migrated database
 */
export async function createOpenCluster(
  dataDir: string,
  fill: (url: string) => Promise<unknown>,
): Promise<void> {
  const folder = join(dataDir, 'postgres');
  mkdirSync(folder, { recursive: true });
  const account = serverAccount();
  chmodSync(folder, 0o700);
  if (account) chownSync(folder, account.uid, account.gid);
  const binaries = embeddedBinaries(account, dataDir);
  const args = [`--pgdata=${folder}`, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C'];
  const { status, stderr } = spawnSync(binaries.initdb, args, { ...account, cwd: '/', encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const log = join(dataDir, 'postgres.log');
  const postmaster = await startPostmaster({ folder, binaries, account, log, settings: ['fsync=off'] });
  if (!postmaster) throw new Error(`the server did not start: ${log}`);
  try {
    const url = `postgres://postgres@127.0.0.1:${postmaster.port}/postgres`;
    await (await openDatabase(url)).destroy();
    await fill(url);
  } finally {
    await stopPostmaster(postmaster);
  }
}
