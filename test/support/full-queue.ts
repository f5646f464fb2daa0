import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { openDatabase } from '../../src/database/open-database';
import { useEmbeddedPostgres } from '../../src/embedded-postgres';

/**
 * Size of the notification queue in pages of 8 KB: the minimum of `max_notify_queue_pages` in
 * PostgreSQL.
 */
const QUEUE_PAGES = 64;
const LONGEST_PAYLOAD = 7_999;
const QUEUE_FULL = '54000';

/**
 * A separate PostgreSQL server with a short notification queue. Therefore a full queue does not
 * affect other tests.
 */
export interface QueueServer {
  /** Connection string of a migrated database. */
  readonly url: string;
  stop(): Promise<void>;
}

export async function startQueueServer(): Promise<QueueServer> {
  const dataDir = mkdtempSync(join(tmpdir(), 'nestjs-api-key-queue-'));
  chmodSync(dataDir, 0o755);
  const server = await useEmbeddedPostgres({
    dataDir,
    settings: ['fsync=off', 'synchronous_commit=off', `max_notify_queue_pages=${QUEUE_PAGES}`],
  });
  await (await openDatabase(server.url)).destroy();
  return {
    url: server.url,
    stop: async () => {
      await server.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/**
 * A session that listens and has an open transaction. No notification leaves the queue while this
 * transaction is open.
 */
export class StuckListener {
  private constructor(
    private readonly listener: Client,
    private readonly url: string,
  ) {}

  static async begin(url: string): Promise<StuckListener> {
    const listener = await connect(url);
    await listener.query('LISTEN nobody_reads_this');
    await listener.query('BEGIN');
    await listener.query('SELECT 1');
    return new StuckListener(listener, url);
  }

  /**
   * Adds notifications until a part of the queue is used, or until the queue is full.
   * @param part from 0 to 1. Default: the whole queue
   */
  async fill(part = Number.POSITIVE_INFINITY): Promise<void> {
    const filler = await connect(this.url);
    try {
      while ((await usageOf(filler)) < part) {
        await filler.query(`SELECT pg_notify('filler', $1)`, ['x'.repeat(LONGEST_PAYLOAD)]);
      }
    } catch (error) {
      if ((error as { code?: unknown }).code !== QUEUE_FULL) throw error;
    } finally {
      await filler.end();
    }
  }

  /** Closes the session, so that the queue becomes empty. */
  async end(): Promise<void> {
    await this.listener.end();
  }
}

async function usageOf(client: Client): Promise<number> {
  const { rows } = await client.query('SELECT pg_notification_queue_usage() AS usage');
  return rows[0].usage;
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return client;
}
