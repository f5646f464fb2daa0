import { chmodSync, chownSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Pattern of the rules of `pg_hba.conf` that accept every local user in any role. */
const TRUST = /^((?:local|host)\b.*\s)trust\s*$/gm;

/**
 * Makes a cluster of an earlier version require passwords after its next start or reload. Replaces
 * `pg_hba.conf` as a whole, so that a killed process leaves no partial file.
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
