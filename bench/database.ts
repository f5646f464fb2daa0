import { chmodSync, existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type EmbeddedPostgres, useEmbeddedPostgres } from '../src/embedded-postgres';

/** A PostgreSQL server for the benchmark only, in a temporary folder. */
interface BenchDatabase {
  /** Connection string of the superuser. */
  readonly url: string;
  /** Stops the server and removes its files. */
  remove(): Promise<void>;
}

/**
 * Starts a PostgreSQL server with its default settings. If the process ends before `remove` is
 * called, an `exit` handler removes the server.
 */
export async function startDatabase(): Promise<BenchDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'nestjs-api-key-bench-'));
  chmodSync(folder, 0o755);
  try {
    const server = await useEmbeddedPostgres({ dataDir: folder });
    return removable(server, folder);
  } catch (error) {
    removeFiles(folder);
    throw error;
  }
}

function removable(server: EmbeddedPostgres, folder: string): BenchDatabase {
  const removeNow = () => {
    try {
      server.stopNow();
    } finally {
      removeFiles(folder);
    }
  };
  process.once('exit', removeNow);
  return {
    url: server.url,
    remove: async () => {
      await server.stop();
      process.off('exit', removeNow);
      removeFiles(folder);
    },
  };
}

/**
 * Removes the folder and its cluster. If the account of the server has no access to the folder, the
 * folder contains only a link to the cluster.
 */
function removeFiles(folder: string): void {
  const cluster = join(folder, 'postgres');
  const homes = existsSync(cluster) ? [dirname(realpathSync(cluster)), folder] : [folder];
  for (const home of homes) rmSync(home, { recursive: true, force: true, maxRetries: 10 });
}
