import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ClientBase } from 'pg';

/** After that a cancellation is given up. */
const DEADLINE_MS = 2_000;

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
 * Cancels the statements of connections that are about to be thrown away. PostgreSQL does not
 * notice a lost client while a statement waits for a lock, and the pool opens a new connection in
 * its place, until the server has no more.
 * Uses the CancelRequest of the protocol (PostgreSQL 18, 54.2.9), which poolers forward to the
 * server that runs the statement, as long as the client's own connection is open.
 */
export class StatementCanceller {
  /** @param newClient a connection beside the pool, which may be all taken */
  constructor(private readonly newClient: () => Client) {}

  /**
   * Cancels what runs on a connection that nobody else uses meanwhile. Resolves when the request
   * was taken, at the latest after 2,000 ms. Never rejects: a database that cannot be reached has
   * nothing to cancel for us.
   */
  async cancel(client: ClientBase): Promise<void> {
    const { processID, secretKey } = client as unknown as Wired;
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
