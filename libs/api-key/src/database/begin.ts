import { flag } from './fields';
import { asText, EQUALS } from './own-names';
import { replica } from './replica';
import type { Session } from './session';

/** Whether a transaction may write. */
export type Access = 'read' | 'default' | 'asked';

const ACCESS: Readonly<Record<Access, string>> = { read: ' READ ONLY', default: '', asked: ' READ WRITE' };

/** Whether the session may find other things under names of PostgreSQL. */
const IS_SHADOWED = `(pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0
  OR 'pg_catalog' ${EQUALS} ANY (pg_catalog.current_schemas(false)))`;

/**
 * The search path of the session, in which its triggers find what they need, behind PostgreSQL's own
 * schema and before temporary tables.
 */
const UNSHADOWED = `(SELECT pg_catalog.concat_ws(', ', 'pg_catalog', pg_catalog.string_agg(pg_catalog.quote_ident(s), ', '), 'pg_temp')
  FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) AS s WHERE s OPERATOR(pg_catalog.<>) 'pg_catalog')`;

/** SQL that sets something until the end of the transaction. */
function set(name: string, value: string): string {
  return `pg_catalog.set_config('${name}', ${value}, true)`;
}

/** For a short transaction, in the message that begins it: some sessions end what is idle within one. */
export const STAY_OPEN = `SET LOCAL idle_in_transaction_session_timeout = '10s'`;

/** How a transaction begins. */
export interface Beginning {
  /** Milliseconds that a statement waits for a lock. */
  readonly lockTimeoutMs: number;
  /** Milliseconds that a statement may take. */
  readonly statementTimeoutMs: number;
  readonly access: Access;
}

/**
 * Begins a transaction. READ COMMITTED, so that each statement sees what was committed before it,
 * also while the transaction waited for a lock. A commit that was answered must outlive a crash,
 * and so it is synchronous. Values are written as this library writes them, and names of PostgreSQL
 * are its own, whatever the session was set to. What stops between two statements for longer than
 * one may take is ended. What a policy of row security would filter is an error. Triggers of the
 * application that wait for the commit run before it, so that what they undo is seen. All in one
 * message, because a session may end what is idle after it began.
 * @throws Error if the server is a replica, which hears of a revocation late
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
       ${set('row_security', "'off'")}, ${set('client_encoding', "'UTF8'")}, ${set('array_nulls', "'on'")},
       CASE WHEN pg_catalog.current_setting('synchronous_commit') ${EQUALS} 'off' THEN ${set('synchronous_commit', "'on'")} END,
       CASE WHEN ${IS_SHADOWED} THEN ${set('search_path', UNSHADOWED)} END`,
  );
  if (flag(row, 'standby')) throw replica();
}
