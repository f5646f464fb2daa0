import { TypeORMError } from 'typeorm';
import { ApiKeyInputError, ApiKeyRefusal } from '../model/api-key.errors';
import { wordsOf } from '../model/error-words';

/**
 * SQLSTATE codes of a value that its column cannot contain. The value has the wrong type, is too
 * large, or is a text with a NUL.
 */
const UNFIT_VALUE = ['22P02', '22003', '22021', '22P05'];
/** SQLSTATE codes of a character that an encoding does not contain. */
const UNTRANSLATABLE = ['22021', '22P05'];
/** SQLSTATE of a text that is too long for its column. A number that is too large has `22003`. */
const TOO_LONG = '22001';
/** SQLSTATE of a sequence that has no more ids. This is not the fault of the caller. */
const SEQUENCE_USED_UP = '2200H';
const FOREIGN_KEY_VIOLATION = '23503';
/**
 * SQLSTATE of a duplicate key value. A restored sequence may return ids that are already used. This
 * is not the fault of the caller.
 */
const UNIQUE_VIOLATION = '23505';
/** SQLSTATE class 23: the row violates a constraint, such as a CHECK of the application. */
const RULE_VIOLATION = /^23/;

/** Error message for an owner that the database does not know. */
export const NO_OWNER = 'no owner with this userId exists';
/** Error message for an owner that the column of owners cannot contain. */
export const UNFIT_OWNER =
  'userId does not fit the type of column user_id, which option "ownerType" of apiKeyMigrations sets';
/** Error message for a value that does not fit into its column. */
export const TOO_MUCH = 'a field is longer or larger than its column in table api_keys';

/** Returns whether PostgreSQL reports that a value is too long for its column. */
export function isTooMuch(error: unknown): boolean {
  return codeOf(error) === TOO_LONG;
}

/** Returns whether PostgreSQL refuses the values of a row because of a type or a constraint. */
export function isOfRow(error: unknown): boolean {
  return /^2[23]/.test(codeOf(error)) && codeOf(error) !== SEQUENCE_USED_UP;
}

/**
 * Returns whether PostgreSQL reports that a column cannot contain a value. Then no row has this
 * value.
 */
export function isUnfit(error: unknown): boolean {
  return UNFIT_VALUE.includes(codeOf(error));
}

/**
 * Returns whether a text contains a character that the encoding of the session or of the database
 * lacks.
 */
export function isUntranslatable(error: unknown): boolean {
  return UNTRANSLATABLE.includes(codeOf(error));
}

/**
 * Converts the error of a refused row into an error for the caller.
 * @throws ApiKeyInputError if the values of the row were refused, otherwise as `refuseUnavailable`
 */
export function refuseMisfit(error: unknown): never {
  if (isUntranslatable(error))
    throw new ApiKeyInputError([
      'name, scopes and metadata must not contain NUL, or a character that the encoding of the database lacks',
    ]);
  if (codeOf(error) === FOREIGN_KEY_VIOLATION) throw new ApiKeyInputError([NO_OWNER]);
  if (isTooMuch(error) || isUnfit(error)) throw new ApiKeyInputError([TOO_MUCH]);
  if (RULE_VIOLATION.test(codeOf(error)) && codeOf(error) !== UNIQUE_VIOLATION)
    throw new ApiKeyInputError(['the key violates a constraint of table api_keys']);
  return refuseUnavailable(error);
}

/**
 * Converts a database error into a refusal that keeps only the message. TypeORM's errors contain
 * the parameters of the query, and would write a digest into every log.
 * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if the database failed, otherwise the error
 *   unchanged
 */
export function refuseUnavailable(error: unknown): never {
  if (error instanceof ApiKeyRefusal || !isOfStore(error)) throw error;
  throw new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause: new Error(wordsOf(error)) });
}

/**
 * Returns whether an error comes from TypeORM, the driver or the socket. A refusal of this library
 * also has a code, but is not such an error.
 */
function isOfStore(error: unknown): boolean {
  return isOfTypeOrm(error) || codeOf(error) !== 'undefined' || isOfDriver(error);
}

/**
 * Returns whether an error is one of TypeORM, also of another copy of TypeORM. The name is written
 * out, because minifiers give `TypeORMError` a short name, which classes of the application may
 * share.
 */
function isOfTypeOrm(error: unknown): boolean {
  if (error instanceof TypeORMError) return true;
  for (let type: unknown = error; type instanceof Object; type = Object.getPrototypeOf(type))
    if (type.constructor?.name === 'TypeORMError') return true;
  return false;
}

/**
 * Returns whether an error comes from the driver. `pg` sets no code if a connection ends or times
 * out, or if the pool has ended.
 */
function isOfDriver(error: unknown): boolean {
  return error instanceof Error && /connection|timeout|client|pool/i.test(error.message);
}

function codeOf(error: unknown): string {
  return String(Object(error).code);
}
