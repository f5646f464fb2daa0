import { wordsOf } from '../model/error-words';

/** SQLSTATE of what PostgreSQL reports. */
const SERIALIZATION_FAILURE = '40001';
const DEADLOCK = '40P01';
const READ_ONLY_TRANSACTION = '25006';
export const INSUFFICIENT_PRIVILEGE = '42501';
/** The function of PostgreSQL that reports a statement which a policy would filter. */
const OF_ROW_SECURITY = 'check_enable_rls';

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

/** Whether a transaction cannot begin, because another one is open or was aborted. */
export function isOfOpenTransaction(error: unknown): boolean {
  return ['25001', '25P02'].includes(codeOf(error));
}

/**
 * Whether an error is about one statement, and its connection is of use still. By class 57P
 * PostgreSQL says that it ends the connection, by 25 that a transaction was left open or may not
 * write.
 */
export function isOfStatement(error: unknown): boolean {
  return /^(?!57P|25|08)[0-9A-Z]{5}$/.test(codeOf(error));
}

const LEFT_BEHIND =
  'If a role is left behind in a pooled session, use SET LOCAL ROLE in place of SET ROLE, or RESET ROLE.';

/** What to do about row security. @param where which policies are in the way, in words */
export function rowSecurityWords(where: string): string {
  return (
    `row security is active ${where}, and a hidden key would pass for one that does not exist. ` +
    'ALTER ROLE … BYPASSRLS for the role of the data source, or ALTER TABLE … DISABLE ROW LEVEL SECURITY; ' +
    `for a table that a trigger of yours uses: ALTER FUNCTION … SET row_security = on. ${LEFT_BEHIND}`
  );
}

/** An error, or one that says more of it to people. */
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

/** An error of a transaction on our tables, or one that says which right the role lacks. */
export function withMissingRight(error: unknown): unknown {
  if (codeOf(error) !== INSUFFICIENT_PRIVILEGE || isInOurWords(error)) return error;
  const words =
    `PostgreSQL refuses (${wordsOf(error)}): GRANT the role of the data source SELECT, INSERT, UPDATE and DELETE ` +
    `on the tables whose names begin with api_key, and USAGE on their sequences. ${LEFT_BEHIND}`;
  return Object.assign(new Error(words, { cause: error }), { code: INSUFFICIENT_PRIVILEGE });
}

/** PostgreSQL's own errors name its function. */
function isInOurWords(error: unknown): boolean {
  return Object(error).routine === undefined;
}
