/**
 * SQL expression that lists the transactions that changed keys or owners without a notification.
 * Each transaction adds a row at its commit, so that the list never has an earlier value again.
 */
export function readSilentChanges(table: string): string {
  return `(SELECT coalesce(string_agg(concat_ws(' ', xact, extract(epoch FROM at)), ',' ORDER BY xact, at), '') FROM ${table})`;
}

/** If there are more transactions than this, their rows are deleted. */
const MOST = 64;

/** Whether the list is too long for a heartbeat to read. */
export function areManySilentChanges(silentChanges: string): boolean {
  return silentChanges.split(',').length > MOST;
}

/**
 * SQL that deletes the rows that no other session is deleting now. It adds a row for its own
 * transaction, so that nobody takes the rest of the list for an earlier list.
 */
export function forgetSilentChanges(table: string): string {
  return `WITH forgotten AS (
      DELETE FROM ${table} WHERE (xact, at) IN (SELECT xact, at FROM ${table} FOR UPDATE SKIP LOCKED) RETURNING xact
    )
    INSERT INTO ${table} (xact, at) SELECT pg_current_xact_id(), now() WHERE EXISTS (SELECT FROM forgotten)`;
}
