import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Client, ClientBase } from 'pg';

/** Milliseconds after which a cancellation is given up. */
const DEADLINE_MS = 2_000;

/**
 * Members that the types of `pg` do not have: the ids of the session, and its protocol connection.
 */
interface Wired {
  readonly processID?: number | null;
  readonly secretKey?: number | Buffer | null;
  readonly host: string;
  readonly port: number;
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
 * Cancels the statements of connections that are about to be closed. PostgreSQL does not notice a
 * lost client while a statement waits for a lock. Without the cancellation, the pool would open new
 * connections until the server has no more. Uses the CancelRequest of the protocol (PostgreSQL 18,
 * 54.2.9). A pooler forwards this request to the server that runs the statement, if the client's
 * own connection is still open.
 */
export class StatementCanceller {
  /**
   * @param newClient returns a connection outside the pool, because the pool may have no free
   *   connection
   */
  constructor(private readonly newClient: () => Client) {}

  /**
   * Cancels the running statement of a connection. No other code may use the connection during the
   * cancellation. Resolves when the server has closed the connection of the request, or after 2,000
   * ms. Never rejects: if the database cannot be reached, no statement needs a cancellation.
   */
  async cancel(client: ClientBase): Promise<void> {
    const { processID, secretKey } = client as unknown as Wired;
    if (!processID || !secretKey) return;
    try {
      const { connection, host, port } = this.newClient() as unknown as Wired;
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
      // The data source may already be closed.
    }
  }
}
