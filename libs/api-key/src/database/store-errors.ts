import { TypeORMError } from 'typeorm';
import { ApiKeyInputError, ApiKeyRefusal } from '../model/api-key.errors';
import { wordsOf } from '../model/error-words';

/** PostgreSQL's codes for a value that cannot be of the column's type, is too large for it, or no text at all (a NUL). */
const UNFIT_VALUE = ['22P02', '22003', '22021', '22P05'];
/** A character that an encoding does not have. */
const UNTRANSLATABLE = ['22021', '22P05'];
/** Too long for its column; `22003` is too large. */
const TOO_LONG = '22001';
/** A sequence has given all its ids: no fault of who asks. */
const SEQUENCE_USED_UP = '2200H';
const FOREIGN_KEY_VIOLATION = '23503';
/** A restored sequence gives ids again: no fault of who asks. */
const UNIQUE_VIOLATION = '23505';
/** SQLSTATE class 23: a rule of the table, such as a CHECK of the application's own. */
const RULE_VIOLATION = /^23/;

/** What is said of an owner that the database does not know. */
export const NO_OWNER = 'userId names no owner there is';
/** What is said of a value that its column cannot hold. */
export const TOO_MUCH = 'a field is longer or larger than its column in table api_keys';

/** Whether PostgreSQL says that a value is too long for its column. */
export function isTooMuch(error: unknown): boolean {
  return codeOf(error) === TOO_LONG;
}

/** Whether PostgreSQL refuses the values of a row, by their types or a rule of the table. */
export function isOfRow(error: unknown): boolean {
  return /^2[23]/.test(codeOf(error)) && codeOf(error) !== SEQUENCE_USED_UP;
}

/** Whether PostgreSQL says that a value cannot be in its column: no row has it then. */
export function isUnfit(error: unknown): boolean {
  return UNFIT_VALUE.includes(codeOf(error));
}

/** Whether a text has a character that the encoding of the session, or of the database, lacks. */
export function isUntranslatable(error: unknown): boolean {
  return UNTRANSLATABLE.includes(codeOf(error));
}

/**
 * What the refusal of a row means for who asked for it, the owner being known.
 * @throws ApiKeyInputError where the row does not fit, else as `refuseUnavailable`
 */
export function refuseMisfit(error: unknown): never {
  if (isUntranslatable(error))
    throw new ApiKeyInputError([
      'name, scopes and metadata must have no NUL, and no character that the encoding of the database lacks',
    ]);
  if (codeOf(error) === FOREIGN_KEY_VIOLATION) throw new ApiKeyInputError([NO_OWNER]);
  if (isTooMuch(error) || isUnfit(error)) throw new ApiKeyInputError([TOO_MUCH]);
  if (RULE_VIOLATION.test(codeOf(error)) && codeOf(error) !== UNIQUE_VIOLATION)
    throw new ApiKeyInputError(['the key breaks a rule that the table sets']);
  return refuseUnavailable(error);
}

/**
 * TypeORM's errors carry the parameters of the query, a digest among them, into every log: only the
 * words are kept.
 * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if the database failed, else the error as it is
 */
export function refuseUnavailable(error: unknown): never {
  if (error instanceof ApiKeyRefusal || !isOfStore(error)) throw error;
  throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: new Error(wordsOf(error)) });
}

/**
 * Errors of TypeORM, of the driver and of the socket below it; a refusal has a code as well, and is
 * none.
 */
function isOfStore(error: unknown): boolean {
  if (error instanceof ApiKeyRefusal) return false;
  return error instanceof TypeORMError || codeOf(error) !== 'undefined' || isOfDriver(error);
}

/** `pg` gives no code to a connection that ends or does not come in time, nor to a pool that has ended. */
function isOfDriver(error: unknown): boolean {
  return error instanceof Error && /connection|timeout|client|pool/i.test(error.message);
}

function codeOf(error: unknown): string {
  return String(Object(error).code);
}
