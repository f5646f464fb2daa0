import { wordsOf } from '../model/error-words';

/** SQLSTATE of what PostgreSQL reports. */
const SERIALIZATION_FAILURE = '40001';
const DEADLOCK = '40P01';
const READ_ONLY_TRANSACTION = '25006';
const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * A plan of this session does not fit the table any more: 0A000 of a statement, 42804 of a
 * function.
 */
const STALE_PLANS = ['0A000', '42804'];
/** What a pooler says that gives another session to each statement. */
const POOLED_AWAY = ['26000', '42P05'];
/**
 * Codes of sockets, SQLSTATE class 08, and the end of a session by an administrator or a time-out
 * of idle sessions or of transactions.
 */
const BROKEN = /^(?:ECONNRESET|EPIPE|08\w{3}|57P0[15]|25P0[34])$/;
/** What `pg` says without a code. */
const BROKEN_IN_WORDS = /connection terminated|not queryable|client has encountered a connection error/i;

/** The SQLSTATE of an error, or the code of Node; `undefined` in letters if it has none. */
export function codeOf(error: unknown): string {
  return String(Object(error).code);
}

/**
 * Whether PostgreSQL ended a transaction in favour of another one, so that it may be made again.
 */
export function isInConflict(error: unknown): boolean {
  return [SERIALIZATION_FAILURE, DEADLOCK].includes(codeOf(error));
}

/**
 * Whether a new session may do what this one cannot: it has no plan from before the table changed,
 * nobody made it read-only, and nobody left it with another role.
 */
export function isOfSession(error: unknown): boolean {
  return [...STALE_PLANS, READ_ONLY_TRANSACTION, INSUFFICIENT_PRIVILEGE].includes(codeOf(error));
}

/**
 * Whether a named statement cannot be used: it was lost, as behind a pooler in transaction mode, or
 * an agent adds to its text another comment each time.
 */
export function isNameUseless(error: unknown): boolean {
  return POOLED_AWAY.includes(codeOf(error)) || /^Prepared statements must be unique/.test(wordsOf(error));
}

/**
 * Whether a connection turned out to be broken, so that a statement sent on it may never have come
 * to PostgreSQL.
 */
export function isBroken(error: unknown): boolean {
  const code = codeOf(error);
  return BROKEN.test(code) || (code === 'undefined' && BROKEN_IN_WORDS.test(wordsOf(error)));
}

/**
 * Whether an error is about one statement, and its connection is of use still. By class 57P
 * PostgreSQL says that it ends the connection, by 25 that a transaction was left open or may not
 * write.
 */
export function isOfStatement(error: unknown): boolean {
  return /^(?!57P|25|08)[0-9A-Z]{5}$/.test(codeOf(error));
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
