import { flag } from './fields';
import { replica } from './replica';
import type { Session } from './session';

/** Whether a transaction may write. */
export type Access = 'read' | 'default' | 'asked';

const ACCESS: Readonly<Record<Access, string>> = { read: ' READ ONLY', default: '', asked: ' READ WRITE' };

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
 * and so it is synchronous. Values are written as this library writes them, whatever the session
 * was set to.
 * @throws Error if the server is a replica, which hears of a revocation late
 */
export async function begin(session: Session, beginning: Beginning): Promise<void> {
  const { lockTimeoutMs, statementTimeoutMs, access } = beginning;
  await session.run(`BEGIN ISOLATION LEVEL READ COMMITTED${ACCESS[access]}`);
  const row = await session.row(
    `SELECT pg_is_in_recovery()::text AS standby,
       set_config('lock_timeout', $1, true) AS lock_timeout, set_config('statement_timeout', $2, true) AS statement_timeout,
       set_config('client_encoding', 'UTF8', true) AS client_encoding, set_config('array_nulls', 'on', true) AS array_nulls,
       CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END AS durable`,
    [String(lockTimeoutMs), String(statementTimeoutMs)],
  );
  if (flag(row, 'standby')) throw replica();
}
