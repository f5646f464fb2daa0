import { ApiKeyInputError } from './api-key.errors';
import { isInCatalogue, isScope } from './credential/scope';
import type { HeldScope } from './scope-catalogue';

/** What `ApiKeyService.create` takes. */
export interface CreateApiKeyInput {
  /** The owner: a user, account or service, as the column `user_id` has it. */
  userId: string;
  /** What people call the key: 1 to 255 characters, none of them a control character. */
  name: string;
  /** What the key may do, up to 100 scopes; wildcards as `orders:*` and `*`. Default: nothing. */
  scopes?: readonly HeldScope[];
  /** When the key stops working, in the future; null or absent: never. */
  expiresAt?: Date | null;
}

/** Which page of keys `ApiKeyService.list` answers. */
export interface ListApiKeysInput {
  /** Only the keys of this owner. Default: of all. */
  userId?: string;
  /** How many at most, 1 to 100. Default 50. */
  limit?: number;
  /** `nextCursor` of the page before. Default: the first page. */
  cursor?: string | null;
}

const MAX_NAME_LENGTH = 255;
const MAX_SCOPES = 100;
const MAX_LIMIT = 100;
const MAX_BIGINT = 9_223_372_036_854_775_807n;
const CONTROL_CHARACTER = /\p{Cc}/u;

/**
 * Checks what a new key shall be.
 * @param catalogue the known scopes, or null where any is allowed
 * @throws ApiKeyInputError with one problem a field
 */
export function checkNewKey(
  input: Omit<CreateApiKeyInput, 'userId'>,
  catalogue: readonly string[] | null,
  now: Date,
): void {
  requireObject(input);
  const { name, scopes = [], expiresAt = null } = input;
  throwIfAny([
    ...problem(
      isName(name),
      `name must have 1 to ${MAX_NAME_LENGTH} characters, none of them a control character`,
    ),
    ...problem(
      Array.isArray(scopes) && scopes.length <= MAX_SCOPES,
      `scopes must be a list of at most ${MAX_SCOPES}`,
    ),
    ...(Array.isArray(scopes) ? Array.from(scopes) : []).flatMap((scope) => scopeProblem(scope, catalogue)),
    ...problem(
      expiresAt === null || isAfter(expiresAt, now),
      'expiresAt must be a date in the future, or null',
    ),
  ]);
}

/**
 * Checks which page is asked for. An owner that is named and undefined is an error, not "all owners".
 * @throws ApiKeyInputError with one problem a field
 */
export function checkPage(input: ListApiKeysInput): void {
  requireObject(input);
  const { limit = 1, cursor = null } = input;
  const ofOneOwner = 'userId' in input;
  throwIfAny([
    ...problem(
      !ofOneOwner || typeof input.userId === 'string',
      'userId must be text; leave it out to list the keys of all owners',
    ),
    ...problem(
      Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT,
      `limit must be a whole number from 1 to ${MAX_LIMIT}`,
    ),
    ...problem(cursor === null || isKeyId(cursor), 'cursor must be the nextCursor of another page'),
  ]);
}

/** Whether text can be the id of a row: a whole number from 1 that fits the column. */
export function isKeyId(id: unknown): id is string {
  return typeof id === 'string' && /^[1-9]\d{0,18}$/.test(id) && BigInt(id) <= MAX_BIGINT;
}

function requireObject(input: unknown): void {
  throwIfAny(problem(typeof input === 'object' && input !== null, 'the input must be an object'));
}

function isName(name: unknown): boolean {
  return (
    typeof name === 'string' &&
    name.trim() !== '' &&
    [...name].length <= MAX_NAME_LENGTH &&
    !CONTROL_CHARACTER.test(name)
  );
}

function isAfter(date: unknown, now: Date): boolean {
  return date instanceof Date && date.getTime() > now.getTime();
}

function scopeProblem(scope: unknown, catalogue: readonly string[] | null): string[] {
  if (!isScope(scope))
    return ['scopes must be texts of printable ASCII without spaces, quotation marks and backslashes'];
  const known = catalogue === null || isInCatalogue(catalogue, scope);
  return problem(known, `scope "${scope}" is not in the catalogue: ${catalogue?.join(', ')}`);
}

function problem(holds: boolean, text: string): string[] {
  return holds ? [] : [text];
}

function throwIfAny(problems: readonly string[]): void {
  if (problems.length > 0) throw new ApiKeyInputError([...new Set(problems)]);
}
