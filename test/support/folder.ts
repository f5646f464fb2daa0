import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Creates a temporary folder. The account of an embedded PostgreSQL may enter the folder. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-api-key-'));
  chmodSync(folder, 0o755);
  return folder;
}

/** Removes a folder, even if a PostgreSQL server that is stopping still writes to the folder. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
