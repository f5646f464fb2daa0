import { types } from 'node:util';
import { isInCatalogue, isScope } from '../credential/scope';
import { isCidr } from '../model/ip-address';
import { isQuota, isRateLimit, MAX_LIMIT, MAX_WINDOW_SECONDS } from '../model/limits';
import type { UpdateApiKeyInput } from './input-shapes';
import { LAST_EXPIRY_MS } from './last-expiry';

const MAX_NAME_LENGTH = 255;
const MAX_SCOPES = 100;
const MAX_ALLOWED_IPS = 100;
const MAX_METADATA_BYTES = 16_384;
const MAX_METADATA_LEVELS = 32;
const NAME_RULE = `name must have 1 to ${MAX_NAME_LENGTH} characters and no control characters`;
/** Escapes that JSON allows and PostgreSQL's jsonb cannot store: NUL and lone surrogates. */
const UNFIT_ESCAPE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;
/** Control characters, and lone surrogates, because UTF-8 cannot encode lone surrogates. */
const CONTROL_CHARACTER = /[\p{Cc}\p{Cs}]/u;

/** Returns the problems of the given fields. */
export function fieldProblems(
  fields: UpdateApiKeyInput,
  catalogue: readonly string[] | null,
  now: Date,
): string[] {
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
      `allowedIps must be a list of 1 to ${MAX_ALLOWED_IPS} addresses or CIDR blocks, or null for all addresses`,
    ),
    ...metadataProblems(metadata),
  ];
}

/** Returns the problems of metadata; empty if they are valid or undefined. */
export function metadataProblems(metadata: unknown): string[] {
  return problem(
    metadata === undefined || isMetadata(metadata),
    `metadata must be a JSON object of at most ${MAX_METADATA_BYTES} bytes and ${MAX_METADATA_LEVELS} levels, without NUL`,
  );
}

/** Returns the problems of a name; empty if the name is valid. */
export function nameProblems(name: unknown): string[] {
  return problem(isName(name), NAME_RULE);
}

/** Returns the problems of a list of scopes; empty if the list is valid. */
export function scopesProblems(scopes: unknown, catalogue: readonly string[] | null): string[] {
  if (!Array.isArray(scopes) || scopes.length > MAX_SCOPES)
    return [`scopes must be a list of at most ${MAX_SCOPES} scopes`];
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

/**
 * Whether a value has at most `levels` levels. False for a bigint, and for a value that contains
 * itself.
 */
function hasLevels(value: unknown, levels: number): boolean {
  if (typeof value === 'bigint') return false;
  if (typeof value !== 'object' || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => hasLevels(inner, levels - 1));
}

/** Whether a value is a text that a name can be. */
export function isName(name: unknown): boolean {
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

/** Returns the text as a problem if `holds` is false. */
export function problem(holds: boolean, text: string): string[] {
  return holds ? [] : [text];
}
