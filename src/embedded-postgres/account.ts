import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Whom the server runs as; PostgreSQL refuses root. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The account for the server where this process is root: `postgres`, else `nobody`. Undefined where it is not.
 * @throws Error where root finds neither
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

/** Whether the account may enter a folder; without an account, this process itself has to. */
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
