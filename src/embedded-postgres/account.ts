import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Account of the operating system that runs the server. PostgreSQL refuses to run as root. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Returns the account for the server if this process runs as root: `postgres`, or `nobody` if
 * `postgres` does not exist. Returns `undefined` if this process does not run as root.
 * @throws Error if this process runs as root and neither account exists
 */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const passwd = readFileSync('/etc/passwd', 'utf8');
  const account = accountNamed(passwd, 'postgres') ?? accountNamed(passwd, 'nobody');
  if (account) return account;
  throw new Error(
    'The embedded PostgreSQL does not run as root, and there is no user postgres or nobody to run it as. ' +
      'Start the app as an ordinary user, or set DATABASE_URL.',
  );
}

/**
 * Returns whether an account may enter a folder. Returns `true` without an account, because the
 * server then runs as the account of this process.
 */
export function canEnter(folder: string, account: Account | undefined): boolean {
  return (
    account === undefined ||
    spawnSync('/bin/sh', ['-c', 'cd "$0"', folder], { ...account, cwd: '/' }).status === 0
  );
}

function accountNamed(passwd: string, name: string): Account | undefined {
  const fields = passwd
    .split('\n')
    .find((line) => line.startsWith(`${name}:`))
    ?.split(':');
  return fields && { uid: Number(fields[2]), gid: Number(fields[3]) };
}
