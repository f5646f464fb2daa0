import { wordsOf } from '../model/error-words';

/** SQLSTATE codes of PostgreSQL errors. */
const SERIALIZATION_FAILURE = '40001';
const DEADLOCK = '40P01';
const LOCK_NOT_AVAILABLE = '55P03';
const READ_ONLY_TRANSACTION = '25006';
export const INSUFFICIENT_PRIVILEGE = '42501';
/** The PostgreSQL function that raises the error if a policy would filter rows. */
const OF_ROW_SECURITY = 'check_enable_rls';

/**
 * SQLSTATE codes of a plan that no longer fits the table: 0A000 from a statement, 42804 from a
 * function.
 */
const STALE_PLANS = ['0A000', '42804'];
/**
 * SQLSTATE codes of a prepared statement behind a pooler that gives each statement another session.
 */
const POOLED_AWAY = ['26000', '42P05'];
/**
 * Codes of a broken connection: socket errors, SQLSTATE class 08, and the codes of an ended
 * session. An administrator, an idle time-out or a transaction time-out can end a session.
 */
const BROKEN = /^(?:ECONNRESET|EPIPE|08\w{3}|57P0[15]|25P0[34])$/;
/**
 * Codes of a connection that cannot be opened now: the server is down, is starting, or has too many
 * connections.
 */
const UNREACHABLE = ['ECONNREFUSED', '57P03', '53300'];
/** Messages of `pg` for a broken connection, if the error has no code. */
const BROKEN_IN_WORDS = /connection terminated|not queryable|client has encountered a connection error/i;

/**
 * Returns the SQLSTATE or Node code of an error, or the text `undefined` if the error has no code.
 */
export function codeOf(error: unknown): string {
  return String(Object(error).code);
}

/**
 * Returns whether PostgreSQL aborted a transaction because of a conflict, so that a retry is
 * possible.
 */
export function isInConflict(error: unknown): boolean {
  return [SERIALIZATION_FAILURE, DEADLOCK].includes(codeOf(error));
}

/** Returns whether a statement waited too long for a lock. */
export function isLockTimeout(error: unknown): boolean {
  return codeOf(error) === LOCK_NOT_AVAILABLE;
}

/** Returns whether no connection could be opened, so that nothing was done. */
export function isUnreachable(error: unknown): boolean {
  return UNREACHABLE.includes(codeOf(error));
}

/**
 * Returns whether a new session may succeed after this session failed. This session may have a
 * stale plan, may be read-only, or may have been left with another role or in a transaction.
 */
export function isOfSession(error: unknown): boolean {
  const isOfSettings = [...STALE_PLANS, READ_ONLY_TRANSACTION, INSUFFICIENT_PRIVILEGE].includes(
    codeOf(error),
  );
  return isOfSettings || isOfOpenTransaction(error);
}

/**
 * Returns whether a statement cannot be used with a name. A pooler in transaction mode loses a
 * named statement, or an agent adds a different comment to the SQL each time.
 */
export function isNameUseless(error: unknown): boolean {
  return POOLED_AWAY.includes(codeOf(error)) || /^Prepared statements must be unique/.test(wordsOf(error));
}

/**
 * Returns whether the connection was broken, so that PostgreSQL may not have received the
 * statement.
 */
export function isBroken(error: unknown): boolean {
  const code = codeOf(error);
  return BROKEN.test(code) || (code === 'undefined' && BROKEN_IN_WORDS.test(wordsOf(error)));
}

/**
 * Returns whether a transaction cannot begin, because another transaction is open or was aborted.
 */
export function isOfOpenTransaction(error: unknown): boolean {
  return ['25001', '25P02'].includes(codeOf(error));
}

/**
 * Returns whether only the statement failed, so that the connection can still be used. Class 57P
 * means that PostgreSQL closes the connection. Class 25 means that a transaction was left open or
 * is read-only.
 */
export function isOfStatement(error: unknown): boolean {
  return /^(?!57P|25|08)[0-9A-Z]{5}$/.test(codeOf(error));
}

const LEFT_BEHIND =
  'If a role is left behind in a pooled session, use SET LOCAL ROLE in place of SET ROLE, or RESET ROLE.';

/**
 * Returns the error message about row security.
 * @param where which policies filter rows, in words
 */
export function rowSecurityWords(where: string): string {
  return (
    `row security is active ${where}, so that a hidden key looks like a missing key. ` +
    'ALTER ROLE … BYPASSRLS for the role of the data source, or ALTER TABLE … DISABLE ROW LEVEL SECURITY; ' +
    `for a table that one of your triggers uses: ALTER FUNCTION … SET row_security = on. ${LEFT_BEHIND}`
  );
}

/** Returns an error with a clearer message if this library has one, otherwise the same error. */
export function inWords(error: unknown): unknown {
  const code = codeOf(error);
  const words = moreWords(error, code);
  return words === null ? error : Object.assign(new Error(words, { cause: error }), { code });
}

function moreWords(error: unknown, code: string): string | null {
  if (code === READ_ONLY_TRANSACTION)
    return (
      'PostgreSQL refuses to write: the server is a replica, or default_transaction_read_only is on for this ' +
      'server, database, role or session. Connect to the primary, or turn the setting off.'
    );
  if (code === INSUFFICIENT_PRIVILEGE && Object(error).routine === OF_ROW_SECURITY)
    return rowSecurityWords(`for this role (${wordsOf(error)})`);
  return null;
}

/**
 * Adds the missing rights to the message if PostgreSQL refuses a statement for lack of rights.
 * Returns any other error unchanged.
 */
export function withMissingRight(error: unknown): unknown {
  if (codeOf(error) !== INSUFFICIENT_PRIVILEGE || isInOurWords(error)) return error;
  const words =
    `PostgreSQL refuses (${wordsOf(error)}): GRANT the role of the data source SELECT, INSERT, UPDATE and DELETE ` +
    `on the tables of this library, such as api_key_events, and USAGE on their sequences. ${LEFT_BEHIND}`;
  return Object.assign(new Error(words, { cause: error }), { code: INSUFFICIENT_PRIVILEGE });
}

/** Returns whether this library created an error. PostgreSQL's own errors have a `routine`. */
function isInOurWords(error: unknown): boolean {
  return Object(error).routine === undefined;
}
