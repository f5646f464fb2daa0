import { flag } from './fields';
import { asText, EQUALS } from './own-names';
import { replica } from './replica';
import type { Session } from './session';

/**
 * Whether a transaction may write. `read`: never. `default`: as the session is set. `asked`:
 * always.
 */
export type Access = 'read' | 'default' | 'asked';

const ACCESS: Readonly<Record<Access, string>> = { read: ' READ ONLY', default: '', asked: ' READ WRITE' };

/**
 * SQL that checks whether other objects may hide PostgreSQL's own objects in this session. This is
 * possible if the session has temporary tables, or if the search path names `pg_catalog`.
 */
const IS_SHADOWED = `(pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0
  OR 'pg_catalog' ${EQUALS} ANY (pg_catalog.current_schemas(false)))`;

/**
 * SQL of the session's search path, with `pg_catalog` first and temporary tables last. The other
 * schemas remain in the path, because triggers find their objects there.
 */
const UNSHADOWED = `(SELECT pg_catalog.concat_ws(', ', 'pg_catalog', pg_catalog.string_agg(pg_catalog.quote_ident(s), ', '), 'pg_temp')
  FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS s WHERE s OPERATOR(pg_catalog.<>) 'pg_catalog')`;

/** Returns SQL that sets a parameter until the end of the transaction. */
export function set(name: string, value: string): string {
  return `pg_catalog.set_config('${name}', ${value}, true)`;
}

/**
 * SQL that prevents the end of a short transaction by an idle time-out. Send this SQL in the
 * message that begins the transaction, because `idle_in_transaction_session_timeout` may be very
 * short.
 */
export const STAY_OPEN = `SET LOCAL idle_in_transaction_session_timeout = '10s'`;

/**
 * SQL of the settings that the statements of this library need: an error if a policy of row
 * security would filter rows, and the encoding, arrays and search path of their SQL. A commit is
 * durable, because an acknowledged commit must survive a crash.
 */
export const NEEDED_SETTINGS = `${set('row_security', "'off'")}, ${set('client_encoding', "'UTF8'")}, ${set('array_nulls', "'on'")},
       CASE WHEN pg_catalog.current_setting('synchronous_commit') ${EQUALS} 'off' THEN ${set('synchronous_commit', "'on'")} END,
       CASE WHEN ${IS_SHADOWED} THEN ${set('search_path', UNSHADOWED)} END`;

/** Settings of a new transaction. */
export interface Beginning {
  /** Milliseconds that a statement may wait for a lock. */
  readonly lockTimeoutMs: number;
  /** Milliseconds that a statement may run. */
  readonly statementTimeoutMs: number;
  readonly access: Access;
}

/**
 * Begins a transaction. All settings are sent in one message, because the session may end a
 * transaction that is idle after BEGIN.
 * - READ COMMITTED: each statement sees all earlier commits, even after it waited for a lock.
 * - Constraint triggers of the application run before the commit, so that their effects are seen.
 * - PostgreSQL ends a transaction that is idle for longer than a statement may run.
 * - `NEEDED_SETTINGS`.
 * @throws Error if the server is a replica, because a replica receives revocations late
 */
export async function begin(session: Session, beginning: Beginning): Promise<void> {
  const { lockTimeoutMs, statementTimeoutMs, access } = beginning;
  const lockMs = `'${lockTimeoutMs}'`;
  const statementMs = `'${statementTimeoutMs}'`;
  const row = await session.row(
    `BEGIN ISOLATION LEVEL READ COMMITTED${ACCESS[access]};
     SET CONSTRAINTS ALL IMMEDIATE;
     SELECT ${asText('pg_catalog.pg_is_in_recovery()')} AS standby,
       ${set('lock_timeout', lockMs)}, ${set('statement_timeout', statementMs)},
       ${set('idle_in_transaction_session_timeout', statementMs)},
       CASE WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL THEN ${set('transaction_timeout', "'0'")} END,
       ${NEEDED_SETTINGS}`,
  );
  if (flag(row, 'standby')) throw replica();
}
