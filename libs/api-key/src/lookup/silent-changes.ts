/**
 * Returns an SQL expression that lists the silent changes: transactions that changed keys or owners
 * without a notification. Each of these transactions adds a row at its commit. So the list never
 * has an earlier value again.
 */
export function readSilentChanges(table: string): string {
  return `(SELECT coalesce(string_agg(concat_ws(' ', xact, extract(epoch FROM at)), ',' ORDER BY xact, at), '') FROM ${table})`;
}

/**
 * Maximum number of rows in the list of silent changes. If the list is longer, its rows are
 * deleted.
 */
const MOST = 64;

/** Checks whether the list of silent changes is too long for a heartbeat to read. */
export function areManySilentChanges(silentChanges: string): boolean {
  return silentChanges.split(',').length > MOST;
}

/**
 * Returns SQL that deletes the rows of the list of silent changes, except rows that another session
 * is deleting. The SQL adds a row for its own transaction, so that the remaining list never equals
 * an earlier list.
 */
export function forgetSilentChanges(table: string): string {
  return `WITH forgotten AS (
      DELETE FROM ${table} WHERE (xact, at) IN (SELECT xact, at FROM ${table} FOR UPDATE SKIP LOCKED) RETURNING xact
    )
    INSERT INTO ${table} (xact, at) SELECT pg_current_xact_id(), now() WHERE EXISTS (SELECT FROM forgotten)`;
}
