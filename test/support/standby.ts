import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { type EmbeddedPostgres, useEmbeddedPostgres } from '../../src/embedded-postgres';
import { removeFolder, temporaryFolder } from './folder';

const PASSWORDS = 'postgres-passwords.json';
const SETTINGS = ['fsync=off', 'synchronous_commit=off'];

/** A PostgreSQL server and its streaming standby. Other tests do not use these servers. */
export interface Replication {
  readonly primary: EmbeddedPostgres;
  readonly standby: EmbeddedPostgres;
  stop(): Promise<void>;
}

/**
 * Starts a primary server and its standby.
 * @param prepare runs on the primary before the standby is created
 */
export async function startReplication(prepare: (url: string) => Promise<unknown>): Promise<Replication> {
  const folder = temporaryFolder();
  const started: EmbeddedPostgres[] = [];
  const stop = async () => {
    for (const server of started.reverse()) await server.stop();
    removeFolder(folder);
  };
  try {
    const primary = await useEmbeddedPostgres({ dataDir: join(folder, 'primary'), settings: SETTINGS });
    started.push(primary);
    await prepare(primary.url);
    await copyServer(primary.url, join(folder, 'primary'), join(folder, 'standby'));
    const standby = await useEmbeddedPostgres({ dataDir: join(folder, 'standby'), settings: SETTINGS });
    started.push(standby);
    return { primary, standby, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Copies the files of a running primary with a base backup. The PostgreSQL from npm does not
 * include `pg_basebackup`.
 */
async function copyServer(url: string, primary: string, standby: string): Promise<void> {
  const [from, to] = [join(primary, 'postgres'), join(standby, 'postgres')];
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`SELECT pg_backup_start('copy', true)`);
    mkdirSync(standby, { recursive: true });
    cpSync(join(primary, PASSWORDS), join(standby, PASSWORDS));
    cpSync(from, to, { recursive: true, filter: (path) => !path.endsWith('postmaster.pid') });
    const { rows } = await client.query('SELECT labelfile FROM pg_backup_stop(false)');
    writeFileSync(join(to, 'backup_label'), rows[0].labelfile);
  } finally {
    await client.end();
  }
  const { hostname, port, username, password } = new URL(url);
  writeFileSync(join(to, 'standby.signal'), '');
  writeFileSync(
    join(to, 'postgresql.auto.conf'),
    `primary_conninfo = 'host=${hostname} port=${port} user=${username} password=${password}'\n`,
  );
  giveTo(to, statSync(from));
}

/**
 * Sets the owner and mode of a folder. PostgreSQL requires that the folder belongs to its own
 * account, without access for other accounts.
 */
function giveTo(folder: string, { uid, gid, mode }: Stats): void {
  if (process.getuid?.() === 0) spawnSync('chown', ['-R', `${uid}:${gid}`, folder]);
  chmodSync(folder, mode);
}
