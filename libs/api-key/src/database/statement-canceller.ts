import type { Client } from 'pg';

/** Which statement of which backend is to end. */
interface Wanted {
  readonly processId: number;
  readonly text: string;
}

/**
 * Ends statements whose connection was thrown away: PostgreSQL does not notice that while one waits for a lock, and the pool opens
 * another in its place, until the server has no more to give. A backend that does something else by now is left alone.
 */
export class StatementCanceller {
  private wanted: Wanted[] = [];
  private isRunning = false;

  /** @param newClient a connection beside the pool, which may be all taken */
  constructor(private readonly newClient: () => Client) {}

  /** Never fails: a database that cannot be reached has nothing to cancel for us. */
  cancel(processId: number, text: string): void {
    this.wanted.push({ processId, text });
    if (!this.isRunning) void this.run();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    let client: Client | undefined;
    try {
      client = this.newClient();
      client.on('error', () => {});
      await client.connect();
      for (let batch = this.wanted.splice(0); batch.length > 0; batch = this.wanted.splice(0))
        await cancelAll(client, batch);
    } catch {
      this.wanted = [];
    } finally {
      this.isRunning = false;
      void client?.end().catch(() => {});
    }
  }
}

/** What PostgreSQL shows of a statement is its start, as far as `track_activity_query_size` goes. */
async function cancelAll(client: Client, batch: readonly Wanted[]): Promise<void> {
  const [ids, texts] = [batch.map(({ processId }) => processId), batch.map(({ text }) => text)];
  await client.query(
    `SELECT pg_cancel_backend(pid) FROM pg_stat_activity JOIN unnest($1::int[], $2::text[]) AS wanted (id, text) ON pid = id
     WHERE state = 'active' AND query <> '' AND starts_with(text, query)`,
    [ids, texts],
  );
}
