import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new folder for temporary data that the account of an embedded PostgreSQL may enter. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-api-key-'));
  chmodSync(folder, 0o755);
  return folder;
}

/** Removes a folder, also one in which a PostgreSQL that is ending still writes. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
