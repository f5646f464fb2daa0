import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Client } from 'pg';
import { serverAccount } from '../../src/embedded-postgres/account';
import { endNow, freePort } from './child-server';
import { endWithFile } from './end-with-file';
import { removeFolder, temporaryFolder } from './folder';
import { until } from './until';

const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin'];
const PROGRAM = FOLDERS.map((folder) => join(folder, 'pgbouncer')).find(existsSync);

/** Whether PgBouncer is installed. Tests with PgBouncer are skipped otherwise. */
export const hasPgBouncer = PROGRAM !== undefined;

/**
 * Starts PgBouncer in front of a database, and stops it at the end of the file.
 * @param settings settings of PgBouncer, for example `pool_mode`
 * @returns the connection string through PgBouncer
 */
export async function pgBouncer(
  database: string,
  settings: Readonly<Record<string, string | number>> = {},
): Promise<string> {
  if (PROGRAM === undefined) throw new Error('there is no pgbouncer on the PATH');
  const { hostname, port, username, password, pathname } = new URL(database);
  const target = `host=${hostname} port=${port} user=${username} password=${decodeURIComponent(password)}`;
  const url = new URL(database);
  url.port = String(await freePort());
  const all = {
    listen_addr: '127.0.0.1',
    listen_port: url.port,
    unix_socket_dir: '',
    auth_type: 'any',
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  const folder = temporaryFolder();
  const file = join(folder, 'pgbouncer.ini');
  writeFileSync(file, `[databases]\n${pathname.slice(1)} = ${target}\n[pgbouncer]\n${lines.join('\n')}\n`);
  const child = spawn(PROGRAM, [file], { stdio: 'ignore', ...serverAccount() });
  endWithFile(async () => {
    await endNow(child);
    removeFolder(folder);
  });
  await until(() => isListening(url.href));
  return url.href;
}

async function isListening(connectionString: string): Promise<boolean> {
  const client = new Client({ connectionString });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}
