import { isWellFormedKey } from './format';

/**
 * The credential that a request presents. `none`: no credential. `malformed`: a value that cannot
 * be exactly one credential. `credential`: one credential, which is not yet checked.
 */
export type Presented =
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'credential'; readonly value: string };

const NONE: Presented = { kind: 'none' };
const MALFORMED: Presented = { kind: 'malformed' };

/**
 * Pattern of the scheme `Bearer` in upper or lower case. The next character must not belong to an
 * RFC 9110 §5.6.2 token.
 */
const BEARER_SCHEME = /^bearer(?![!#$%&'*+\-.^_`|~0-9A-Za-z])/i;
/**
 * Pattern of a Bearer credential after a comma, in a header line of another scheme. Such a line
 * exists if an adapter or proxy joined two lines, for example `@codegenie/serverless-express`
 * 4.17.1.
 */
const JOINED_BEARER = /,[ \t]*bearer[ \t]/i;
const SCHEME_LENGTH = 'bearer'.length;
const PLAIN = 'Bearer ';
const SPACE = 0x20;
const BLANK = /^[ \t]*$/;
const LEADING_SPACES = /^ +/;
const WORDS = /\w+/g;

/**
 * Maximum number of keys that are looked up for one request. No client sends more keys by mistake.
 */
const MAX_KEYS = 4;

/**
 * Returns the credential of a request. The Bearer credential of `Authorization` has priority, even
 * if it is not a key (RFC 6750 §2.1, one or more spaces after the scheme). The key header is read
 * only if the Bearer credential is missing or empty. If `Authorization` or the key header is sent
 * twice, the request is malformed.
 * @param rawHeaders alternating names and values, like `rawHeaders` of Node; `headers` of Node
 *   would hide a second header, because it keeps the first `Authorization` and joins other headers
 * @param keyHeader name of the key header in lower case
 */
export function extractCredential(rawHeaders: readonly string[], keyHeader: string): Presented {
  let authorization: string | undefined;
  let key: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (isNamed(name, 'authorization')) {
      if (authorization !== undefined) return MALFORMED;
      authorization = oneLine(rawHeaders[i + 1]);
      if (authorization === undefined) return MALFORMED;
    } else if (isNamed(name, keyHeader)) {
      if (key !== undefined) return MALFORMED;
      key = oneLine(rawHeaders[i + 1]);
      if (key === undefined) return MALFORMED;
    }
  }
  return bearerCredential(authorization ?? '') ?? headerCredential(key ?? '');
}

/**
 * Returns up to 4 texts of `Authorization` and the key header that have the form of a key. The list
 * includes keys that are not used for authentication. These are keys in a header that is sent
 * twice, and a key in the key header of a request with a Bearer credential.
 */
export function keysSent(rawHeaders: readonly string[], keyHeader: string): string[] {
  const keys = new Set<string>();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (!isNamed(name, 'authorization') && !isNamed(name, keyHeader)) continue;
    for (const word of String(rawHeaders[i + 1]).match(WORDS) ?? [])
      if (isWellFormedKey(word, true)) keys.add(word);
  }
  return [...keys].slice(0, MAX_KEYS);
}

/**
 * Returns a header value as one line. Adapters other than Node may pass a list of values. A list
 * with one value counts as one line.
 */
function oneLine(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (value === undefined) return '';
  return Array.isArray(value) && value.length === 1 ? oneLine(value[0]) : undefined;
}

/**
 * Checks the name of a header, ignoring case. Header names are ASCII, so the lower-case name has
 * the same length. Only a name of the right length is converted.
 */
function isNamed(name: string, lowerCase: string): boolean {
  return name.length === lowerCase.length && name.toLowerCase() === lowerCase;
}

function bearerCredential(authorization: string): Presented | undefined {
  if (isPlainBearer(authorization)) return { kind: 'credential', value: authorization.slice(PLAIN.length) };
  if (!BEARER_SCHEME.test(authorization)) return JOINED_BEARER.test(authorization) ? MALFORMED : undefined;
  const rest = authorization.slice(SCHEME_LENGTH);
  if (BLANK.test(rest)) return undefined;
  return rest.startsWith(' ') ? { kind: 'credential', value: rest.replace(LEADING_SPACES, '') } : MALFORMED;
}

/**
 * Checks for the form that nearly all clients send: one space, then no blank. This is a fast path.
 * The general rules give the same result.
 */
function isPlainBearer(authorization: string): boolean {
  return authorization.startsWith(PLAIN) && authorization.charCodeAt(PLAIN.length) > SPACE;
}

function headerCredential(value: string): Presented {
  return BLANK.test(value) ? NONE : { kind: 'credential', value };
}
