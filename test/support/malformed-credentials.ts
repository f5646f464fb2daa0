import { randomFrom } from './random';

const SEED = 20_261_125;

/** Texts that are inserted into credentials to make them malformed. */
export const PIECES = [
  'Bearer',
  'bearer',
  'BEARER ',
  ' ',
  '\t',
  '',
  'Basic ',
  ',',
  ';',
  '=',
  '"',
  '\0',
  '\x7f',
  'é',
  '\u2028',
  '_',
  '__',
  'key_',
  '%00',
  '../',
  '{}',
  '[]',
  'null',
  'undefined',
];
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_ -.~+/=\t\0ÿ';
const NAMES = ['Authorization', 'X-API-Key', 'authorization', 'x-api-key', 'AUTHORIZATION', 'X-Api-Key'];

/** Names and values of headers, alternating. */
export type Headers = readonly string[];

function valuesOf(headers: Headers, name: string): string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name);
}

/**
 * Returns whether a request with these headers may authenticate with this key. Neither header may
 * occur twice. The key must be the whole Bearer token. If there is no Bearer token, the key must be
 * the whole key header. These rules follow the documentation and are independent of the code under
 * test.
 */
export function mayBring(headers: Headers, key: string): boolean {
  const [authorizations, keyHeaders] = [valuesOf(headers, 'authorization'), valuesOf(headers, 'x-api-key')];
  if (authorizations.length > 1 || keyHeaders.length > 1) return false;
  const [authorization = ''] = authorizations;
  const [scheme = ''] = /^[\w!#$%&'*+\-.^`|~]*/.exec(authorization) ?? [];
  const rest = authorization.slice(scheme.length);
  if (scheme.toLowerCase() !== 'bearer' || /^[ \t]*$/.test(rest)) return keyHeaders[0] === key;
  return rest.endsWith(key) && /^ +$/.test(rest.slice(0, -key.length));
}

/** The code under test: the key that is looked up, or null, and the kind of the credential. */
export interface Judge {
  lookedUp(headers: Headers): string | null;
  kindOf(headers: Headers): 'none' | 'malformed' | 'credential';
}

/** Results for many malformed credentials. */
export interface Judged {
  /** Headers for which the code under test and `mayBring` disagree. */
  readonly misjudged: readonly Headers[];
  /** Number of valid credentials (`good`), and number of all other credentials by kind. */
  readonly counts: Readonly<Record<'good' | 'none' | 'malformed' | 'credential', number>>;
}

/** Makes `cases` malformed credentials from valid keys and passes each credential to `judge`. */
export function judgeMalformed(keys: readonly string[], cases: number, judge: Judge): Judged {
  const random = randomFrom(SEED);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(list: ArrayLike<T>) => list[below(list.length)] as T;
  const mutate = (text: string) => {
    const [at, kind] = [below(text.length), below(6)];
    if (kind === 0) return text.slice(0, at) + pick(ALPHABET) + text.slice(at + 1);
    if (kind === 1) return text.slice(0, at) + text.slice(at + 1 + below(3));
    if (kind === 2) return text.slice(0, at) + pick(PIECES) + text.slice(at);
    if (kind === 3) return text.slice(0, at);
    if (kind === 4) return text + pick(ALPHABET).repeat(1 + below(200));
    return text.slice(at) + text.slice(0, at);
  };
  const credential = (key: string) => (random() < 0.05 ? '' : random() < 0.2 ? key : mutate(key));
  const line = (key: string) => [
    pick(NAMES),
    `${random() < 0.8 ? 'Bearer ' : pick(PIECES)}${credential(key)}`,
  ];
  const counts = { good: 0, none: 0, malformed: 0, credential: 0 };
  const misjudged: Headers[] = [];
  let malformed = 0;
  while (malformed < cases) {
    const key = pick(keys);
    const headers = ['Host', 'a', ...line(key)];
    if (random() < 0.2) headers.push(...line(key));
    const isGood = mayBring(headers, key);
    if (judge.lookedUp(headers) !== (isGood ? key : null)) misjudged.push(headers);
    if (isGood) {
      counts.good += 1;
      continue;
    }
    malformed += 1;
    counts[judge.kindOf(headers)] += 1;
  }
  return { misjudged, counts };
}
