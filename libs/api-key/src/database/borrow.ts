import type { Client, ClientBase, Pool, PoolClient } from 'pg';
import { wordsOf } from '../model/error-words';
import { inTime } from './deadline';

/** A connection that is given back. */
export interface Borrowed {
  readonly client: ClientBase;
  /** @param error that makes the connection of no use; null: it is as it was */
  giveBack(error: Error | null): void;
}

/**
 * A connection of a pool that is in no transaction: one that somebody forgot would show the table
 * as it was at its beginning, and undo what is written.
 * @throws Error if none is free in time
 */
export async function borrow(pool: Pool, deadlineMs: number): Promise<Borrowed> {
  for (;;) {
    const client = await connectInTime(pool, deadlineMs);
    if (!isInTransaction(client)) return lent(client);
    client.release(new Error('given back within a transaction'));
  }
}

/** A connection of one's own, which nobody used before. */
export async function open(client: Client): Promise<Borrowed> {
  client.on('error', ignore);
  await client.connect();
  return { client, giveBack: () => void client.end().catch(ignore) };
}

/** Whether someone left a transaction open on a connection. */
export function isInTransaction(client: ClientBase): boolean {
  const status = transactionStatus(client);
  return status === 'T' || status === 'E';
}

/** Null if the driver cannot tell, as `pg` before 8.17 and `pg-native` before 3.8. */
function transactionStatus(client: ClientBase): string | null {
  try {
    return client.getTransactionStatus?.() ?? null;
  } catch {
    return null;
  }
}

/**
 * Whatever keeps a connection from being opened has a code, also what the application's own
 * `password` throws.
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

/** A connection that breaks says so as an event as well, which unheard would end the process. */
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
