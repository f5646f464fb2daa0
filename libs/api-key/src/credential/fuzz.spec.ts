import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import {
  type Headers,
  judgeMalformed,
  mayBring,
  PIECES,
} from '../../../../test/support/malformed-credentials';
import { extractCredential } from './extract';
import { isWellFormedKey, mintKey } from './format';

const CASES = 50_000;
const SEED = 20_261_125;
const RUNS = 20_000;

/**
 * The credential that these headers bring to the look-up of keys; null where it is refused before
 * that.
 */
function lookedUp(headers: Headers): string | null {
  const presented = extractCredential(headers, 'x-api-key');
  return presented.kind === 'credential' && isWellFormedKey(presented.value, false) ? presented.value : null;
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

  it('contain a valid key only if it stands alone, once, and in the right header', () => {
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

  it('are malformed if one of the two headers is sent twice, with any content', () => {
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

it(`${CASES} malformed credentials are refused without I/O, and nothing is thrown`, () => {
  const keys = ['acme_live', 'key', 'a'].map((prefix) => mintKey('checksummed', prefix));
  const kindOf = (headers: Headers) => extractCredential(headers, 'x-api-key').kind;
  const { misjudged, counts } = judgeMalformed(keys, CASES, { lookedUp, kindOf });
  expect(misjudged.slice(0, 3)).toEqual([]);
  expect(Math.min(...Object.values(counts))).toBeGreaterThan(CASES / 1_000);
});
