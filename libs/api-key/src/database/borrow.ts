import type { Client, ClientBase, Pool, PoolClient } from 'pg';
import { wordsOf } from '../model/error-words';
import { inTime } from './deadline';

/** A connection that its borrower must give back. */
export interface Borrowed {
  readonly client: ClientBase;
  /** @param error why the connection must be closed, or null if the connection can be used again */
  giveBack(error: Error | null): void;
}

/**
 * Borrows a connection without an open transaction from the pool. If the application left a
 * transaction open, a read could return old rows, and a write could be rolled back.
 * @throws Error if no connection is free before the deadline
 */
export async function borrow(pool: Pool, deadlineMs: number): Promise<Borrowed> {
  for (;;) {
    const client = await connectInTime(pool, deadlineMs);
    if (!isInTransaction(client)) return lent(client);
    client.release(new Error('released inside an open transaction'));
  }
}

/** Opens a new connection for one borrower. */
export async function open(client: Client): Promise<Borrowed> {
  client.on('error', ignore);
  await client.connect();
  return { client, giveBack: () => void client.end().catch(ignore) };
}

/** Returns whether a transaction was left open on a connection. */
export function isInTransaction(client: ClientBase): boolean {
  const status = transactionStatus(client);
  return status === 'T' || status === 'E';
}

/**
 * Returns the transaction status, or null if the driver does not report this status. Drivers
 * without the status are `pg` before 8.17 and `pg-native` before 3.8.
 */
function transactionStatus(client: ClientBase): string | null {
  try {
    return client.getTransactionStatus?.() ?? null;
  } catch {
    return null;
  }
}

/**
 * Returns a connection error with a code. For example, an error that the application's own
 * `password` function throws may have no code.
 */
export function unconnected(error: unknown): unknown {
  if (Object(error).code !== undefined) return error;
  return Object.assign(new Error(`no connection: ${wordsOf(error)}`), { code: 'ECONNECT' });
}

async function connectInTime(pool: Pool, deadlineMs: number): Promise<PoolClient> {
  let isLate = false;
  const connecting = pool.connect().then((client) => {
    if (isLate) client.release();
    return client;
  });
  try {
    return await inTime(deadlineMs, connecting, () => {
      isLate = true;
      return new Error(`none was free within ${deadlineMs} ms`);
    });
  } catch (error) {
    throw unconnected(error);
  }
}

/**
 * Prepares a pool connection for its borrower. A broken connection emits an `error` event. Without
 * a listener, this event would end the process.
 */
function lent(client: PoolClient): Borrowed {
  client.on('error', ignore);
  return {
    client,
    giveBack: (error) => {
      client.off('error', ignore);
      client.release(error ?? undefined);
    },
  };
}

function ignore(): void {}
