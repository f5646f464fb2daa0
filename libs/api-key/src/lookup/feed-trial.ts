import { once } from 'node:events';
import type { Client, Notification } from 'pg';
import type { Database } from '../database/database';
import { inTime } from '../database/deadline';
import { Session } from '../database/session';
import { SideConnection } from '../database/side-connection';

const TRIAL = 'probe';
const ARRIVAL_MS = 2_000;
const STATEMENT_MS = 5_000;

/**
 * Checks that a listening connection receives the notifications of other connections while it is
 * idle. A pooler in transaction mode loses these notifications, and so loses the notifications of
 * revocations. Heartbeats may come back even behind such a pooler, because they arrive during a
 * statement.
 * @param over aborted when the session has ended
 * @throws Error if the notification does not arrive within 2 seconds
 */
export async function proveArrival(
  database: Database,
  client: Client,
  channel: string,
  over: AbortSignal,
): Promise<void> {
  const arrived = arrivalOf(TRIAL, client, channel);
  const other = new SideConnection(database.sideClient('nestjs-api-key probe'));
  const end = () => void other.close();
  over.addEventListener('abort', end, { once: true });
  try {
    await other.connect();
    const statements = new Session(other.client, database.tables, STATEMENT_MS);
    await statements.run('SELECT pg_catalog.pg_notify($1, $2)', [channel, TRIAL]);
  } finally {
    over.removeEventListener('abort', end);
    end();
  }
  over.throwIfAborted();
  await inTime(ARRIVAL_MS, Promise.race([arrived, once(over, 'abort')]), lost);
}

/** Returns the error for a connection that does not receive notifications. */
export function lost(): Error {
  return new Error(
    'notifications of other connections do not arrive, for example behind a pooler in transaction mode: give the library a data source that bypasses the pooler',
  );
}

/** Returns a promise that resolves when a notification with this payload has arrived. */
function arrivalOf(payload: string, client: Client, channel: string): Promise<void> {
  return new Promise((resolve) => {
    const hear = (notification: Notification) => {
      if (notification.channel !== channel || notification.payload !== payload) return;
      client.off('notification', hear);
      resolve();
    };
    client.on('notification', hear);
  });
}
