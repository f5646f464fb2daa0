import { types } from 'node:util';
import { isInCatalogue, isScope } from '../credential/scope';
import { ApiKeyInputError } from '../model/api-key.errors';
import { API_KEY_STATES, type ApiKeyState } from '../model/api-key-state';
import { isCidr } from '../model/ip-address';
import {
  isQuota,
  isRateLimit,
  MAX_LIMIT,
  MAX_WINDOW_SECONDS,
  type Quota,
  type RateLimit,
} from '../model/limits';
import type { HeldScope } from '../model/scope-catalogue';

/** What can be set on a key, and changed later. */
export interface ApiKeyFields {
  /** What people call the key: 1 to 255 characters, none of them a control character. */
  name: string;
  /** What the key may do, up to 100 scopes; wildcards as `orders:*` and `*`. Default: nothing. */
  scopes?: readonly HeldScope[];
  /** When the key stops working, in the future; null or absent: never. */
  expiresAt?: Date | null;
  /** How many requests a window allows; null or absent: the default of the module. */
  rateLimit?: RateLimit | null;
  /** How much may be used in a day or month of UTC; null or absent: as much as one likes. */
  quota?: Quota | null;
  /** Addresses and CIDR blocks from which the key works, 1 to 100; null or absent: everywhere. */
  allowedIps?: readonly string[] | null;
  /** What the application keeps with the key: a JSON object of at most 16 KiB and 32 levels. */
  metadata?: Readonly<Record<string, unknown>>;
}

/** What `ApiKeyService.create` takes. */
export interface CreateApiKeyInput extends ApiKeyFields {
  /** The owner: a user, account or service, as the column `user_id` has it. */
  userId: string;
}

/** What `ApiKeyService.update` changes; a field that is absent or undefined stays as it is. */
export type UpdateApiKeyInput = Partial<ApiKeyFields>;

/** Which page of keys `ApiKeyService.list` answers. */
export interface ListApiKeysInput {
  /** Only the keys of this owner. Default: of all. */
  userId?: string;
  /** Only keys in this state. Default: all. */
  state?: ApiKeyState;
  /** How many at most, 1 to 100. Default 50. */
  limit?: number;
  /** `nextCursor` of the page before. Default: the first page. */
  cursor?: string | null;
}

/**
 * 9999-12-31T23:59:59.999Z: the year after it has no form that all clients can read (RFC 3339,
 * section 5.6).
 */
export const LAST_EXPIRY_MS = Date.UTC(10_000, 0) - 1;

/** An end that was computed, or that the key which acts has: within the bounds of one that is given. */
export function atMostLastExpiry(ms: number): Date {
  return new Date(Math.min(ms, LAST_EXPIRY_MS));
}

const MAX_NAME_LENGTH = 255;
const MAX_SCOPES = 100;
const MAX_PAGE = 100;
const MAX_BIGINT = 9_223_372_036_854_775_807n;
const MAX_OVERLAP_SECONDS = 30 * 86_400;
const MAX_DAYS = 36_500;
const MAX_ALLOWED_IPS = 100;
const MAX_METADATA_BYTES = 16_384;
const MAX_METADATA_LEVELS = 32;
const NAME_RULE = `name must have 1 to ${MAX_NAME_LENGTH} characters, none of them a control character`;
const FIELDS = ['name', 'scopes', 'expiresAt', 'rateLimit', 'quota', 'allowedIps', 'metadata'];
/** What JSON can write and PostgreSQL's jsonb cannot hold: NUL and half a surrogate pair. */
const UNFIT_ESCAPE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;
/** Control characters, and half a surrogate pair, which UTF-8 has no form for. */
const CONTROL_CHARACTER = /[\p{Cc}\p{Cs}]/u;

/**
 * Checks what a new key shall be.
 * @param catalogue the known scopes, or null where any is allowed
 * @throws ApiKeyInputError with one problem a field
 */
export function checkNewKey(input: ApiKeyFields, catalogue: readonly string[] | null, now: Date): void {
  requireObject(input);
  const { userId: _, ...fields } = input as CreateApiKeyInput;
  throwIfAny([
    ...nameProblems(input.name),
    ...unknownFields(fields),
    ...fieldProblems(fields, catalogue, now),
  ]);
}

/**
 * Checks what shall change in a key.
 * @throws ApiKeyInputError with one problem a field
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
 * Checks how long a rotated key shall still work.
 * @throws ApiKeyInputError
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
 * @throws ApiKeyInputError
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
 * Checks which page is asked for. An owner that is named and undefined is an error, not "all owners".
 * @throws ApiKeyInputError with one problem a field
 */
export function checkPage(input: ListApiKeysInput): void {
  requireObject(input);
  const { limit = 1, cursor = null } = input;
  const ofOneOwner = 'userId' in input;
  throwIfAny([
    ...problem(
      !ofOneOwner || ['string', 'number', 'bigint'].includes(typeof input.userId),
      'userId must be text; leave it out to list the keys of all owners',
    ),
    ...problem(
      input.state === undefined || API_KEY_STATES.includes(input.state),
      `state must be ${API_KEY_STATES.join(', ')}`,
    ),
    ...problem(
      Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE,
      `limit must be a whole number from 1 to ${MAX_PAGE}`,
    ),
    ...problem(cursor === null || isKeyId(cursor), 'cursor must be the nextCursor of another page'),
  ]);
}

/**
 * An id as text: some applications have `pg` give bigint as a number or a BigInt.
 * @returns null if it can be the id of no row
 * @throws ApiKeyInputError if it is a number that may be another one by now
 */
export function keyIdOf(id: unknown): string | null {
  if (typeof id === 'number' && !Number.isSafeInteger(id))
    throw new ApiKeyInputError(['id must be text: a number of this size is not exact']);
  const text = typeof id === 'number' || typeof id === 'bigint' ? String(id) : id;
  return isKeyId(text) ? text : null;
}

/**
 * An owner as text, in the same way.
 * @throws ApiKeyInputError if it is none
 */
export function ownerIdOf(userId: unknown, problem: string): string {
  if (typeof userId === 'bigint' || Number.isSafeInteger(userId)) return String(userId);
  if (typeof userId === 'string' && userId !== '' && userId.trim() === userId) return userId;
  throw new ApiKeyInputError([problem]);
}

/** Whether text can be the id of a row: a whole number from 1 that fits the column. */
export function isKeyId(id: unknown): id is string {
  return typeof id === 'string' && /^[1-9]\d{0,18}$/.test(id) && BigInt(id) <= MAX_BIGINT;
}

function unknownFields(fields: object): string[] {
  const unknown = Object.keys(fields).filter((field) => !FIELDS.includes(field));
  return unknown.map((field) => `${JSON.stringify(field)} cannot be set; ${FIELDS.join(', ')} can`);
}

/** The problems of the fields that are given. */
function fieldProblems(fields: UpdateApiKeyInput, catalogue: readonly string[] | null, now: Date): string[] {
  const {
    name,
    scopes,
    expiresAt = null,
    rateLimit = null,
    quota = null,
    allowedIps = null,
    metadata,
  } = fields;
  return [
    ...(name === undefined ? [] : nameProblems(name)),
    ...(scopes === undefined ? [] : scopesProblems(scopes, catalogue)),
    ...problem(
      expiresAt === null || isExpiry(expiresAt, now),
      'expiresAt must be a date in the future, up to 9999-12-31T23:59:59.999Z, or null',
    ),
    ...problem(
      rateLimit === null || isRateLimit(rateLimit),
      `rateLimit must be { limit, windowSeconds }, whole numbers from 1 to ${MAX_LIMIT} and from 1 to ${MAX_WINDOW_SECONDS}, or null`,
    ),
    ...problem(
      quota === null || isQuota(quota),
      `quota must be { limit, period }, a whole number from 1 to ${MAX_LIMIT} and "day" or "month", or null`,
    ),
    ...problem(
      allowedIps === null || isAddressList(allowedIps),
      `allowedIps must be a list of 1 to ${MAX_ALLOWED_IPS} addresses or CIDR blocks, or null for everywhere`,
    ),
    ...problem(
      metadata === undefined || isMetadata(metadata),
      `metadata must be a JSON object of at most ${MAX_METADATA_BYTES} bytes and ${MAX_METADATA_LEVELS} levels, without NUL`,
    ),
  ];
}

/** What is wrong with a name; empty where nothing is. */
export function nameProblems(name: unknown): string[] {
  return problem(isName(name), NAME_RULE);
}

/** What is wrong with a list of scopes; empty where nothing is. */
export function scopesProblems(scopes: unknown, catalogue: readonly string[] | null): string[] {
  if (!Array.isArray(scopes) || scopes.length > MAX_SCOPES)
    return [`scopes must be a list of at most ${MAX_SCOPES}`];
  return Array.from(scopes).flatMap((scope) => scopeProblem(scope, catalogue));
}

function isAddressList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length >= 1 &&
    value.length <= MAX_ALLOWED_IPS &&
    Array.from(value).every(isCidr)
  );
}

function isMetadata(value: unknown): boolean {
  if (Object.prototype.toString.call(value) !== '[object Object]' || !hasLevels(value, MAX_METADATA_LEVELS))
    return false;
  const json = JSON.stringify(value);
  return Buffer.byteLength(json) <= MAX_METADATA_BYTES && !UNFIT_ESCAPE.test(json);
}

/** Whether a value nests at most so deep; one that refers to itself never does. */
function hasLevels(value: unknown, levels: number): boolean {
  if (typeof value === 'bigint') return false;
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => hasLevels(inner, levels - 1));
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

function isExpiry(date: unknown, now: Date): boolean {
  return types.isDate(date) && date.getTime() > now.getTime() && date.getTime() <= LAST_EXPIRY_MS;
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
