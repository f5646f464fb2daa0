import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** The passwords of the roles of a server. */
export interface Passwords {
  readonly superuser: string;
  /** Of the ordinary role that owns the database of the app. */
  readonly app: string;
}

const FILE = 'postgres-passwords.json';

/** Returns the passwords of a data folder; null if there are none yet. */
export function passwordsOf(dataDir: string): Passwords | null {
  const file = join(dataDir, FILE);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
}

/**
 * Returns the passwords of a data folder. Creates random ones if there are none. Only the owner of
 * the file can read it. If two starts create passwords at once, both use those of the first.
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

/** The error if the server does not accept the passwords. */
export function wrongPasswords(dataDir: string, cause: unknown): Error {
  return new Error(
    `The embedded PostgreSQL does not accept the passwords of ${join(dataDir, FILE)}. ` +
      'Put the file back that belongs to this data folder, or start with an empty folder.',
    { cause },
  );
}

/** 256 random bits, as text that needs no quoting in SQL or in a URL. */
function randomText(): string {
  return randomBytes(32).toString('hex');
}
