/**
 * Which transactions have changed keys or owners without a notification, as an SQL expression. Each
 * adds itself by its commit, so that the text never is as it was before.
 */
export function readSilentChanges(table: string): string {
  return `(SELECT coalesce(string_agg(concat_ws(' ', xact, extract(epoch FROM at)), ',' ORDER BY xact, at), '') FROM ${table})`;
}

/** More transactions than these are worth forgetting. */
const MOST = 64;

/** Whether there are more of them than a heartbeat should read. */
export function areManySilentChanges(silentChanges: string): boolean {
  return silentChanges.split(',').length > MOST;
}

/**
 * Forgets those that no other session forgets just now. It adds itself, so that nobody takes what
 * is left for what there was before.
 */
export function forgetSilentChanges(table: string): string {
  return `WITH forgotten AS (
      DELETE FROM ${table} WHERE (xact, at) IN (SELECT xact, at FROM ${table} FOR UPDATE SKIP LOCKED) RETURNING xact
    )
    INSERT INTO ${table} (xact, at) SELECT pg_current_xact_id(), now() WHERE EXISTS (SELECT FROM forgotten)`;
}
