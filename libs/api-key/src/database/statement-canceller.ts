import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ClientBase } from 'pg';

/** A cancellation that is not through by then is given up. */
const DEADLINE_MS = 5_000;

/** What `pg` does not type: the session of a connection, and the wire below it. */
interface Wired {
  readonly processID?: number | null;
  readonly secretKey?: number | Buffer | null;
  readonly host?: string;
  readonly port?: number;
  readonly connection?: {
    readonly stream: Socket;
    readonly ssl: unknown;
    readonly sslNegotiation?: string;
    requestSsl(): void;
    connect(portOrPath: number | string, host?: string): void;
    cancel(processId: number, secretKey: number | Buffer): void;
    once(event: string, heard: () => void): void;
  };
}

/**
 * Cancels statements whose connection was thrown away: PostgreSQL does not notice that while one
 * waits for a lock, and the pool opens another in its place, until the server has no more to give.
 * By the protocol's own CancelRequest, which poolers forward to the server that runs the statement.
 */
export class StatementCanceller {
  private readonly wanted: Wired[] = [];
  private isRunning = false;

  /** @param newClient a connection beside the pool, which may be all taken */
  constructor(private readonly newClient: () => Client) {}

  /**
   * Cancels what runs on a connection that nobody uses any more. Never fails: a database that
   * cannot be reached has nothing to cancel for us.
   */
  cancel(client: ClientBase): void {
    const { processID, secretKey } = client as unknown as Wired;
    this.wanted.push({ processID, secretKey });
    if (!this.isRunning) void this.run();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    for (let next = this.wanted.shift(); next; next = this.wanted.shift()) await this.request(next);
    this.isRunning = false;
  }

  private async request({ processID, secretKey }: Wired): Promise<void> {
    if (!processID || !secretKey) return;
    try {
      const { connection, host = 'localhost', port = 5432 } = this.newClient() as unknown as Wired;
      if (!connection) return;
      const over = Promise.race([
        once(connection.stream, 'close'),
        delay(DEADLINE_MS, undefined, { ref: false }),
      ]);
      connection.once('error', () => {});
      const send = () => connection.cancel(processID, secretKey);
      connection.once('sslconnect', send);
      connection.once('connect', () => {
        if (!connection.ssl) send();
        else if (connection.sslNegotiation !== 'direct') connection.requestSsl();
      });
      if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`);
      else connection.connect(port, host);
      await over.catch(() => {});
      connection.stream.destroy();
    } catch {
      // The data source may be closed by now.
    }
  }
}
