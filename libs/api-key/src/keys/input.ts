import { isWildcard, scopeGrants } from '../credential/scope';
import { ApiKeyInputError } from '../model/api-key.errors';
import { API_KEY_STATES } from '../model/api-key-state';
import {
  fieldProblems,
  isName,
  metadataProblems,
  nameProblems,
  problem,
  scopesProblems,
} from './field-problems';
import type { CreateApiKeyInput, ListApiKeysInput, NewApiKeyFields, UpdateApiKeyInput } from './input-shapes';

export type {
  ApiKeyFields,
  CreateApiKeyInput,
  ListApiKeysInput,
  NewApiKeyFields,
  UpdateApiKeyInput,
} from './input-shapes';

const MAX_PAGE = 100;
const MAX_BIGINT = 9_223_372_036_854_775_807n;
const MAX_OVERLAP_SECONDS = 30 * 86_400;
const MAX_DAYS = 36_500;
const FIELDS = ['name', 'scopes', 'expiresAt', 'rateLimit', 'quota', 'allowedIps', 'metadata'];

/**
 * Checks the input of a new key.
 * @param catalogue the known scopes; null: every scope is allowed
 * @param ofEnvironment returns the problems of an environment
 * @throws ApiKeyInputError with all problems of the fields
 */
export function checkNewKey(
  input: NewApiKeyFields,
  catalogue: readonly string[] | null,
  now: Date,
  ofEnvironment: (environment: unknown) => string[],
): void {
  requireObject(input);
  const { userId: _, environment, ...fields } = input as CreateApiKeyInput;
  throwIfAny([
    ...nameProblems(input.name),
    ...unknownFields(fields),
    ...fieldProblems(fields, catalogue, now),
    ...ofEnvironment(environment),
  ]);
}

/**
 * Checks the input of a change.
 * @throws ApiKeyInputError with all problems of the fields
 */
export function checkChanges(
  changes: UpdateApiKeyInput,
  catalogue: readonly string[] | null,
  now: Date,
): void {
  requireObject(changes);
  throwIfAny([...unknownFields(changes), ...fieldProblems(changes, catalogue, now)]);
}

/**
 * Checks the overlap of a rotation.
 * @throws ApiKeyInputError if the overlap is invalid
 */
export function checkOverlap(overlapSeconds: unknown): void {
  throwIfAny(
    problem(
      Number.isInteger(overlapSeconds) &&
        Number(overlapSeconds) >= 0 &&
        Number(overlapSeconds) <= MAX_OVERLAP_SECONDS,
      `overlapSeconds must be a whole number from 0 to ${MAX_OVERLAP_SECONDS} (30 days)`,
    ),
  );
}

/**
 * Checks an age in days.
 * @throws ApiKeyInputError if the age is invalid
 */
export function checkDays(name: string, days: unknown): void {
  throwIfAny(
    problem(
      Number.isInteger(days) && Number(days) >= 0 && Number(days) <= MAX_DAYS,
      `${name} must be a whole number of days from 0 to ${MAX_DAYS}`,
    ),
  );
}

/**
 * Checks a renaming of a scope. The old scope may be one that keys must not have any more.
 * @throws ApiKeyInputError with all problems
 */
export function checkRenaming(from: unknown, to: unknown, catalogue: readonly string[] | null): void {
  throwIfAny([
    ...problem(
      typeof from === 'string' && from !== '' && !from.includes('\0'),
      'the old scope must be text, as keys have it',
    ),
    ...scopesProblems([to], catalogue),
    ...problem(from !== to, 'the new scope must be another than the old one'),
    ...problem(
      !isWildcard(String(to)) || (isWildcard(String(from)) && !scopeGrants(String(to), String(from))),
      `"${to}" is a wildcard and would grant more than "${from}": give it with update`,
    ),
  ]);
}

/**
 * Checks the input of a listing. A present field `userId` with the value undefined is an error,
 * because it must not list the keys of all owners.
 * @throws ApiKeyInputError with all problems of the fields
 */
export function checkPage(input: ListApiKeysInput): void {
  requireObject(input);
  const { limit = 1, cursor = null } = input;
  const ofOneOwner = 'userId' in input;
  throwIfAny([
    ...problem(
      !ofOneOwner || ['string', 'number', 'bigint'].includes(typeof input.userId),
      'userId must be text; omit it to list the keys of all owners',
    ),
    ...problem(
      input.state === undefined || API_KEY_STATES.includes(input.state),
      `state must be ${API_KEY_STATES.join(', ')}`,
    ),
    ...problem(
      input.search === undefined || isName(input.search),
      'search must have 1 to 255 characters and no control characters',
    ),
    ...metadataProblems(input.metadata),
    ...problem(
      Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE,
      `limit must be a whole number from 1 to ${MAX_PAGE}`,
    ),
    ...problem(cursor === null || isKeyId(cursor), 'cursor must be the nextCursor of another page'),
  ]);
}

/**
 * Converts an id to text, because some applications let `pg` return bigint as a number or a BigInt.
 * @returns null if the value cannot be the id of a row
 * @throws ApiKeyInputError if the number is too large to be exact
 */
export function keyIdOf(id: unknown): string | null {
  if (typeof id === 'number' && !Number.isSafeInteger(id))
    throw new ApiKeyInputError(['id must be text: a number of this size is not exact']);
  const text = typeof id === 'number' || typeof id === 'bigint' ? String(id) : id;
  return isKeyId(text) ? text : null;
}

/**
 * Converts an owner to text, for the same reason as `keyIdOf`.
 * @throws ApiKeyInputError with `problem` if the value cannot be an owner
 */
export function ownerIdOf(userId: unknown, problem: string): string {
  if (typeof userId === 'bigint' || Number.isSafeInteger(userId)) return String(userId);
  if (typeof userId === 'string' && userId !== '' && userId.trim() === userId) return userId;
  throw new ApiKeyInputError([problem]);
}

/** Whether a value can be the id of a row: a whole number from 1 to the maximum of bigint. */
export function isKeyId(id: unknown): id is string {
  return typeof id === 'string' && /^[1-9]\d{0,18}$/.test(id) && BigInt(id) <= MAX_BIGINT;
}

function unknownFields(fields: object): string[] {
  const unknown = Object.keys(fields).filter((field) => !FIELDS.includes(field));
  return unknown.map((field) => `${JSON.stringify(field)} cannot be set; ${FIELDS.join(', ')} can`);
}

function requireObject(input: unknown): void {
  throwIfAny(problem(typeof input === 'object' && input !== null, 'the input must be an object'));
}

function throwIfAny(problems: readonly string[]): void {
  if (problems.length > 0) throw new ApiKeyInputError([...new Set(problems)]);
}
