import type { ClientBase } from 'pg';
import type { QueryRunner } from 'typeorm';
import { inTime } from '../database/deadline';
import { text } from '../database/fields';
import { Session } from '../database/session';
import { migratedTables, sessionOf } from '../database/session-of';
import { sideClient } from '../database/side-client';
import { SideConnection } from '../database/side-connection';

const ROUNDS = 3;
/** Milliseconds that the other transaction waits for a session. */
const PROBE_MS = 2_000;
/** Milliseconds that the query runner waits for an answer of its session. */
const ANSWER_MS = 5_000;

/** Members of a `pg` client that are missing in its types. `pg-native` does not have them. */
interface Connected extends ClientBase {
  /** Process that the server announced at the start of the connection. */
  readonly processID?: number | null;
  readonly host?: string;
  readonly port?: number;
}

/**
 * Checks that the connection of a query runner has a session of its own. Behind a pooler in
 * transaction mode, another client gets the session between two statements. A lock of the session
 * then excludes nobody, and stays on an idle connection of the pooler. Call this outside of a
 * transaction.
 * @throws Error that names the pooler
 */
export async function refuseSharedSession(runner: QueryRunner): Promise<void> {
  const client: Connected = await runner.connect();
  const pid = await pidOf(await sessionOf(runner));
  if (String(client.processID) === pid) return;
  for (let round = 1; round <= ROUNDS; round++) if (await isShared(runner, pid)) refusePooler(client);
}

/**
 * Opens a transaction on another connection, which takes the session that the pooler gives out
 * next. Returns whether this is the session of the query runner, or whether the query runner now
 * has another session or none.
 */
async function isShared(runner: QueryRunner, pid: string): Promise<boolean> {
  const connection = new SideConnection(sideClient(runner.connection, 'nestjs-api-key probe'));
  try {
    await connection.connect().catch(() => {}); // then BEGIN fails too
    const session = new Session(connection.client, migratedTables(runner), PROBE_MS);
    // A small pool in session mode may have no second session.
    const theirs = await session.run('BEGIN').then(
      () => pidOf(session),
      () => null,
    );
    if (theirs === pid) return true;
    const ours = await inTime(ANSWER_MS, pidOf(await sessionOf(runner)), noAnswer).catch(String);
    return ours !== pid;
  } finally {
    await connection.close();
  }
}

const noAnswer = () => new Error('the other transaction has the only session');

async function pidOf(session: Session): Promise<string> {
  return text(await session.row('SELECT pg_catalog.pg_backend_pid()::text AS pid'), 'pid');
}

function refusePooler({ host, port }: Connected): never {
  throw new Error(
    `ApiKeyModule: runMigrations cannot run through the pooler at ${host}:${port}, because it shares sessions between clients ` +
      '(PgBouncer with pool_mode = transaction, for example). Two instances could migrate at once, and the lock of the migrations would stay behind. ' +
      'Call runMigrations with a data source that connects to PostgreSQL itself, or to a pool with pool_mode = session; nothing was changed.',
  );
}
