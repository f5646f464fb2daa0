import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Passwords of the roles of a server. */
export interface Passwords {
  readonly superuser: string;
  /** Password of the ordinary role that owns the database of the app. */
  readonly app: string;
}

const FILE = 'postgres-passwords.json';

/** Returns the passwords of a data folder, or `null` if no passwords are stored. */
export function passwordsOf(dataDir: string): Passwords | null {
  const file = join(dataDir, FILE);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
}

/**
 * Returns the passwords of a data folder. Creates random passwords if none are stored. Only the
 * owner of the file can read the passwords. If two processes create passwords at the same time,
 * both use the passwords that were stored first.
 */
export function ensurePasswords(dataDir: string): Passwords {
  const [file, draft] = [join(dataDir, FILE), join(dataDir, `${FILE}-${randomText()}`)];
  if (!existsSync(file)) {
    const passwords: Passwords = { superuser: randomText(), app: randomText() };
    writeFileSync(draft, JSON.stringify(passwords), { mode: 0o600, flag: 'wx' });
    try {
      linkSync(draft, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(draft);
    }
  }
  return passwordsOf(dataDir) as Passwords;
}

/** Creates the error for a server that does not accept the passwords. */
export function wrongPasswords(dataDir: string, cause: unknown): Error {
  return new Error(
    `The embedded PostgreSQL does not accept the passwords of ${join(dataDir, FILE)}. ` +
      'Put the file back that belongs to this data folder, or start with an empty folder.',
    { cause },
  );
}

/** Returns 256 random bits as text that needs no quoting in SQL or in a URL. */
function randomText(): string {
  return randomBytes(32).toString('hex');
}
