import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { randomFrom } from '../../../../test/support/random';
import { extractCredential } from './extract';
import { isWellFormedKey, mintKey } from './format';

const CASES = 1_000_000;
const SEED = 20_261_125;
const RUNS = 50_000;

const PIECES = [
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

/** Names and values in turn. */
type Headers = readonly string[];

/** The credential that these headers bring to the look-up of keys; null where it is refused before that. */
function lookedUp(headers: Headers): string | null {
  const presented = extractCredential(headers, 'x-api-key');
  return presented.kind === 'credential' && isWellFormedKey(presented.value, false) ? presented.value : null;
}

function valuesOf(headers: Headers, name: string): string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1]?.toLowerCase() === name);
}

/**
 * Whether these headers may bring this key: neither header twice, and it is the whole Bearer token, or the whole key header where
 * there is no such token. As the documentation has it, written apart from the code under test.
 */
function mayBring(headers: Headers, key: string): boolean {
  const [authorizations, keyHeaders] = [valuesOf(headers, 'authorization'), valuesOf(headers, 'x-api-key')];
  if (authorizations.length > 1 || keyHeaders.length > 1) return false;
  const [authorization = ''] = authorizations;
  const [scheme = ''] = /^[\w!#$%&'*+\-.^`|~]*/.exec(authorization) ?? [];
  const rest = authorization.slice(scheme.length);
  if (scheme.toLowerCase() !== 'bearer' || /^[ \t]*$/.test(rest)) return keyHeaders[0] === key;
  return rest.endsWith(key) && /^ +$/.test(rest.slice(0, -key.length));
}

describe('a valid key in a malformed credential of the corpus is not looked up', () => {
  interface Case {
    readonly what: string;
    readonly lines: readonly string[];
  }
  const CORPUS: readonly Case[] = JSON.parse(
    readFileSync(join(__dirname, '../../../../test/fixtures/malformed-credentials.json'), 'utf8'),
  );

  /** Lines as a server splits them that lets everything through. */
  function headersOf(lines: readonly string[], key: string): Headers {
    return lines.flatMap((line) => {
      const [name = '', ...rest] = line.split(':');
      const value = rest.join(':').replace(/^[ \t]+|[ \t]+$/g, '');
      const whole = value.replace(/(.)×(\d+)/, (_, character, times) => character.repeat(Number(times)));
      return [name, whole.replaceAll('KEY', key)];
    });
  }

  it.each(CORPUS)('$what', ({ lines }) => {
    const key = mintKey('checksummed', 'acme_live');
    expect(lookedUp(headersOf(lines, key))).toBeNull();
    const hexKey = mintKey('hex', '');
    expect(extractCredential(headersOf(lines, hexKey), 'x-api-key')).not.toEqual({
      kind: 'credential',
      value: hexKey,
    });
  });
});

describe('headers of any shape', () => {
  const key = mintKey('checksummed', 'acme_live');
  const text = fc.oneof(
    fc.constant(key),
    fc.constantFrom(...PIECES),
    fc.string({ maxLength: 4 }),
    fc.string({ unit: 'binary', maxLength: 4 }),
    fc.mixedCase(fc.constant('bearer')),
    fc.nat(key.length).map((at) => key.slice(at)),
  );
  const value = fc.oneof(
    fc.constant(key),
    fc.constant(`Bearer ${key}`),
    fc
      .tuple(fc.mixedCase(fc.constant('bearer')), fc.constantFrom(' ', '  ', '\t', ' \t', '', ',', '='), text)
      .map((parts) => parts.join('')),
    fc.array(text, { maxLength: 5 }).map((parts) => parts.join('')),
  );
  const name = fc.oneof(
    { weight: 4, arbitrary: fc.mixedCase(fc.constantFrom('authorization', 'x-api-key')) },
    {
      weight: 1,
      arbitrary: fc.oneof(fc.constantFrom('Host', 'X-API-Keys', 'Cookie', '__proto__'), fc.string()),
    },
  );
  const headers = fc.array(fc.tuple(name, value), { maxLength: 4 }).map((lines) => lines.flat());

  it('bring a valid key exactly where it stands alone, once, and in the right place', () => {
    const outcomes = { brought: 0, refused: 0 };
    fc.assert(
      fc.property(headers, (shape) => {
        const found = lookedUp(shape);
        expect(found).toBe(mayBring(shape, key) ? key : null);
        outcomes[found === null ? 'refused' : 'brought'] += 1;
      }),
      { numRuns: RUNS, seed: SEED },
    );
    expect(Math.min(outcomes.brought, outcomes.refused)).toBeGreaterThan(RUNS / 100);
  });

  it('are malformed where one of the two comes twice, whatever both hold', () => {
    const twice = fc.constantFrom('authorization', 'x-api-key');
    fc.assert(
      fc.property(twice, headers, headers, headers, value, value, (which, before, between, after, a, b) => {
        const shape = [...before, which, a, ...between, which.toUpperCase(), b, ...after];
        expect(extractCredential(shape, 'x-api-key')).toEqual({ kind: 'malformed' });
      }),
      { numRuns: RUNS / 10, seed: SEED },
    );
  });
});

it('a million malformed credentials are refused without I/O, and nothing is thrown', () => {
  const random = randomFrom(SEED);
  const below = (n: number) => Math.floor(random() * n);
  const pick = <T>(list: ArrayLike<T>) => list[below(list.length)] as T;
  const keys = ['acme_live', 'key', 'a'].map((prefix) => mintKey('checksummed', prefix));
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
  const counts = { none: 0, malformed: 0, credential: 0 };
  const misjudged: Headers[] = [];
  let [malformed, good] = [0, 0];
  while (malformed < CASES) {
    const key = pick(keys);
    const headers = ['Host', 'a', ...line(key)];
    if (random() < 0.2) headers.push(...line(key));
    const isGood = mayBring(headers, key);
    if (lookedUp(headers) !== (isGood ? key : null)) misjudged.push(headers);
    if (isGood) {
      good += 1;
      continue;
    }
    malformed += 1;
    counts[extractCredential(headers, 'x-api-key').kind] += 1;
  }
  expect(misjudged.slice(0, 3)).toEqual([]);
  expect(Math.min(good, counts.none, counts.malformed, counts.credential)).toBeGreaterThan(1_000);
});
