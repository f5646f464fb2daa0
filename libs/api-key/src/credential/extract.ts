import { isWellFormedKey } from './format';

/** What a request presents: nothing, something that cannot be one credential, or one credential, not yet checked. */
export type Presented =
  | { readonly kind: 'none' }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'credential'; readonly value: string };

const NONE: Presented = { kind: 'none' };
const MALFORMED: Presented = { kind: 'malformed' };

/** The scheme `Bearer` in any case, not followed by another character of an RFC 9110 §5.6.2 token. */
const BEARER_SCHEME = /^bearer(?![!#$%&'*+\-.^_`|~0-9A-Za-z])/i;
/**
 * A Bearer credential that an adapter or proxy joined to the line of another scheme: such lines were
 * two. `@codegenie/serverless-express` 4.17.1 does so.
 */
const JOINED_BEARER = /,[ \t]*bearer[ \t]/i;
const SCHEME_LENGTH = 'bearer'.length;
const PLAIN = 'Bearer ';
const SPACE = 0x20;
const BLANK = /^[ \t]*$/;
const LEADING_SPACES = /^ +/;
const WORDS = /\w+/g;

/** Each is a look-up, and nobody sends more by mistake. */
const MAX_KEYS = 4;

/**
 * The credential of a request. The Bearer credential of `Authorization` comes first, whatever it
 * holds (RFC 6750 §2.1, one or more spaces after the scheme). The key header is read only if there
 * is none, or an empty one. Either header sent twice is malformed.
 * @param rawHeaders names and values in turn, as Node's `rawHeaders` has them: its `headers` keep
 *   only the first `Authorization` and join others, which would hide a second one
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
 * Up to 4 texts of the form of a key in the two headers, including those that authenticate nobody:
 * in a header that is sent twice, or in the key header beside a Bearer credential.
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

/** An adapter that is not Node's may give a list of values; one of them is a line. */
function oneLine(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (value === undefined) return '';
  return Array.isArray(value) && value.length === 1 ? oneLine(value[0]) : undefined;
}

/** Names of headers are ASCII, so that those of another length need not be lowered. */
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

/** As nearly all clients write it: one space, and no blank after it. The rules below would say the same. */
function isPlainBearer(authorization: string): boolean {
  return authorization.startsWith(PLAIN) && authorization.charCodeAt(PLAIN.length) > SPACE;
}

function headerCredential(value: string): Presented {
  return BLANK.test(value) ? NONE : { kind: 'credential', value };
}
