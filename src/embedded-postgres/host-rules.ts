import { chmodSync, chownSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A rule of `pg_hba.conf` that lets every local user in, in any role. */
const TRUST = /^((?:local|host)\b.*\s)trust\s*$/gm;

/**
 * Makes a cluster of an earlier version ask for passwords, from its next start or reload on.
 * Replaces its file of rules as a whole, so that a kill leaves no half of it.
 * @returns whether the file was changed
 */
export function requirePasswords(folder: string): boolean {
  const file = join(folder, 'pg_hba.conf');
  const before = readFileSync(file, 'utf8');
  const after = before.replace(TRUST, '$1scram-sha-256');
  if (after === before) return false;
  const { uid, gid, mode } = statSync(file);
  const draft = `${file}.new`;
  writeFileSync(draft, after);
  chmodSync(draft, mode);
  if (process.getuid?.() === 0) chownSync(draft, uid, gid);
  renameSync(draft, file);
  return true;
}
