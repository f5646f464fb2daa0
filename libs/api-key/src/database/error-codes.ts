/** SQLSTATE of what PostgreSQL reports. */
const SERIALIZATION_FAILURE = '40001';
const DEADLOCK = '40P01';
const READ_ONLY_TRANSACTION = '25006';

/** A plan of this session does not fit the table any more: 0A000 of a statement, 42804 of a function. */
const STALE_PLANS = ['0A000', '42804'];
/** What a pooler says that gives another session to each statement. */
const POOLED_AWAY = ['26000', '42P05'];

/** The SQLSTATE of an error, or the code of Node; `undefined` in letters if it has none. */
export function codeOf(error: unknown): string {
  return String(Object(error).code);
}

/** Whether PostgreSQL ended a transaction in favour of another one, so that it may be made again. */
export function isInConflict(error: unknown): boolean {
  return [SERIALIZATION_FAILURE, DEADLOCK].includes(codeOf(error));
}

/** Whether a session has a plan from before the table changed: a new session has none. */
export function isStalePlan(error: unknown): boolean {
  return STALE_PLANS.includes(codeOf(error));
}

/** Whether a named statement was lost, as behind a pooler in transaction mode. */
export function isPooledAway(error: unknown): boolean {
  return POOLED_AWAY.includes(codeOf(error));
}

/**
 * Whether an error is about one statement, and its connection is of use still. By class 57P
 * PostgreSQL says that it ends the connection, by 25 that a transaction was left open, but for 25006,
 * a write that is refused.
 */
export function isOfStatement(error: unknown): boolean {
  return /^(?!57P|25(?!006))[0-9A-Z]{5}$/.test(codeOf(error));
}

/** An error, or one that says more of it to people. */
export function inWords(error: unknown): unknown {
  if (codeOf(error) !== READ_ONLY_TRANSACTION) return error;
  return Object.assign(
    new Error(
      'PostgreSQL refuses to write: the server is a replica, or default_transaction_read_only is on for this ' +
        'server, database, role or session. Connect to the primary, or turn the setting off.',
      { cause: error },
    ),
    { code: READ_ONLY_TRANSACTION },
  );
}
