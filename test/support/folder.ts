import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new folder for temporary data that the account of an embedded PostgreSQL may enter. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-api-key-'));
  chmodSync(folder, 0o755);
  return folder;
}
