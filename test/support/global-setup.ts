import { chmodSync, existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '../../src/database/open-database';
import { useEmbeddedPostgres } from '../../src/embedded-postgres';
import { createEmptyDatabase, sql } from './database';

const MEMORY = '/dev/shm';
const ROOM_BYTES = 8 * 1024 ** 3;

declare global {
  /** Stops the test server. The global tear-down calls this function. */
  var endTestServer: (() => Promise<void>) | undefined;
}

/**
 * Starts one PostgreSQL server for all tests and migrates a template database. Each test file
 * copies the template.
 */
export default async function globalSetup(): Promise<void> {
  const dataDir = mkdtempSync(join(roomyMemory() ?? tmpdir(), 'nestjs-api-key-test-'));
  chmodSync(dataDir, 0o755);
  const removeDataDir = () => rmSync(dataDir, { recursive: true, force: true });
  try {
    const settings = [
      'fsync=off',
      'full_page_writes=off',
      'synchronous_commit=off',
      'max_connections=300',
      'max_wal_size=256MB',
      // With hundreds of databases, autovacuum would start a worker many times a second.
      'autovacuum=off',
    ];
    const server = await useEmbeddedPostgres({
      dataDir,
      settings,
      report: (line) => process.stderr.write(`${line}\n`),
    });
    const stopAtExit = () => server.stopNow();
    process.once('exit', stopAtExit);
    process.env.TEST_POSTGRES_URL = server.url;
    globalThis.endTestServer = async () => {
      process.off('exit', stopAtExit);
      await server.stop();
      removeDataDir();
    };
    await makePasswordCheap(server.url);
    const template = await createEmptyDatabase('migrated_template');
    await (await openDatabase(template)).destroy();
  } catch (error) {
    await globalThis.endTestServer?.();
    removeDataDir();
    throw error;
  }
}

/** With the default iterations, a client computes 4,096 hashes for each connection. */
async function makePasswordCheap(url: string): Promise<void> {
  const { username, password } = new URL(url);
  await sql(url, `SET scram_iterations = 1; ALTER ROLE "${username}" PASSWORD '${password}'`);
}

/**
 * Returns the folder of a file system in memory, if this file system has room for the databases of
 * a run. Each database has 8 MB and 300 files.
 */
function roomyMemory(): string | undefined {
  if (!existsSync(MEMORY)) return undefined;
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize > ROOM_BYTES ? MEMORY : undefined;
}
