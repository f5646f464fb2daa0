import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { apiKeyPattern, isKeyPrefix, isWellFormedKey, mintKey, visiblePrefix, visibleSuffix } from './format';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const RANDOM_43 = 'UHgXgM9O0NUHfpTitcEZ0gd9SNALvD3aqC4WhqLhPpr';
const HEX_KEY = '604eae8c3be82e560fd189046e5430eeaf2688eaf3b43a30c26c2d2734f843a0';

/**
 * Keys whose checksums were computed with the zlib module of Python; the first two have a small and
 * a large CRC.
 */
const KNOWN_KEYS = [
  'acme_live_00000000000000000000000000000000000016607190000T1',
  'acme_live_00000000000000000000000000000000000002037754gfF94',
  'acme_live_UHgXgM9O0NUHfpTitcEZ0gd9SNALvD3aqC4WhqLhPpr3hBNJk',
  'key_51w3qwgWE5RyS7gR8YKudZAiu3ZAWq5PcQgcUUcOY1f2nRAul',
  'my_company_live_eu1_k5zCogGMyNtiOhJ7GFLNNWapmWB1OqsR2X1EhR2ODnc2NTKjo',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa_6mZEB4iH2RHVMcek3WTNDLITUizsUFzATxZNBCnlEwc2g70og',
];
const [KNOWN_KEY = ''] = KNOWN_KEYS.slice(2);

/** The checksum as the format's description has it, written apart from the code under test. */
function sealed(body: string): string {
  const base62 = (n: number): string =>
    n < 62 ? BASE62.charAt(n) : base62(Math.floor(n / 62)) + BASE62.charAt(n % 62);
  return body + base62(crc32(body)).padStart(6, '0');
}

function swapCase(character: string): string {
  const lower = character.toLowerCase();
  return character === lower ? character.toUpperCase() : lower;
}

function positionsOf(key: string): number[] {
  return [...Array(key.length + 1).keys()];
}

describe('a minted key', () => {
  it.each([
    'key',
    'acme_live',
    'a',
    'my_company_live_eu1',
    'A1_b2',
    'a9_9_0z',
    'p'.repeat(32),
  ])('with the prefix %s consists of the prefix, "_", 43 random characters and 6 characters of the CRC-32 of all before them', (prefix) => {
    const key = mintKey('checksummed', prefix);
    expect(key).toMatch(new RegExp(`^${prefix}_[0-9A-Za-z]{49}$`));
    expect(key).toBe(sealed(key.slice(0, -6)));
    expect(isWellFormedKey(key, false)).toBe(true);
  });

  it('carries at least 256 random bits', () => {
    const random = mintKey('checksummed', 'key').slice('key_'.length, -6);
    expect(random.length * Math.log2(62)).toBeGreaterThanOrEqual(256);
  });

  it('of the hex format is 64 lower-case hex digits, without the prefix', () => {
    const key = mintKey('hex', 'acme_live');
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(isWellFormedKey(key, true)).toBe(true);
  });
});

describe('100,000 minted keys', () => {
  const PREFIX = 'my_company_live';
  let keys: string[];

  beforeAll(() => {
    keys = Array.from({ length: 100_000 }, () => mintKey('checksummed', PREFIX));
  });

  it('are all well-formed', () => {
    expect(keys.filter((key) => !isWellFormedKey(key, false))).toEqual([]);
  });

  it('are all distinct', () => {
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('all show the constant part and 4 random characters', () => {
    expect(keys.filter((key) => !/^my_company_live_[0-9A-Za-z]{4}$/.test(visiblePrefix(key)))).toEqual([]);
  });

  it('have each of the 62 letters and digits equally often in the random part', () => {
    const counts = new Map<string, number>([...BASE62].map((character) => [character, 0]));
    for (const key of keys) {
      for (const character of key.slice(PREFIX.length + 1, -6)) {
        counts.set(character, (counts.get(character) ?? 0) + 1);
      }
    }
    const expected = (keys.length * 43) / 62;
    const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(counts.size).toBe(62);
    // 61 degrees of freedom: a uniform source exceeds 152.0 with a probability of 1e-9, once in a
    // billion runs. Bytes taken modulo 62 without rejection would give about 25,000.
    expect(chiSquare).toBeLessThan(152.0);
  });
});

describe('the checksum', () => {
  it.each(KNOWN_KEYS)('of %s equals the value of another implementation', (key) => {
    expect(isWellFormedKey(key, false)).toBe(true);
    expect(sealed(key.slice(0, -6))).toBe(key);
  });

  it.each(KNOWN_KEYS)('of %s is refused if it is one too large or one too small', (key) => {
    const last = BASE62.indexOf(key.slice(-1));
    for (const other of [(last + 1) % 62, (last + 61) % 62]) {
      expect(isWellFormedKey(key.slice(0, -1) + BASE62.charAt(other), false)).toBe(false);
    }
  });

  it('covers the prefix, so that a key under another prefix is refused', () => {
    expect(isWellFormedKey(KNOWN_KEY.replace('acme_live', 'acme_test'), false)).toBe(false);
  });

  it('is valid for a key of any prefix', () => {
    expect(isWellFormedKey(sealed(`other_prefix_${RANDOM_43}`), false)).toBe(true);
  });
});

describe('a single-character change of a valid key is refused:', () => {
  it('12,000 characters replaced by another, at every position of 200 minted keys', () => {
    const minted = Array.from({ length: 200 }, () => mintKey('checksummed', 'acme_live1'));
    const changed = minted.flatMap((key) =>
      [...key].map((character, at) => {
        const others = `${BASE62}_`.replace(character, '');
        return key.slice(0, at) + others.charAt(randomInt(others.length)) + key.slice(at + 1);
      }),
    );
    expect(changed).toHaveLength(12_000);
    expect(changed.filter((key) => isWellFormedKey(key, true))).toEqual([]);
  });

  it.each(KNOWN_KEYS)('every character of %s, replaced by every other', (key) => {
    const changed = [...key].flatMap((character, at) =>
      [...`${BASE62}_`]
        .filter((other) => other !== character)
        .map((other) => key.slice(0, at) + other + key.slice(at + 1)),
    );
    expect(changed).toHaveLength(key.length * 62);
    expect(changed.filter((other) => isWellFormedKey(other, true))).toEqual([]);
  });

  it.each(KNOWN_KEYS)('every character of %s, removed', (key) => {
    const changed = [...key].map((_, at) => key.slice(0, at) + key.slice(at + 1));
    expect(changed.filter((other) => isWellFormedKey(other, true))).toEqual([]);
  });

  it.each(KNOWN_KEYS)('every character, inserted before or after every character of %s', (key) => {
    const changed = positionsOf(key).flatMap((at) =>
      [...`${BASE62}_- \t\n\0é`].map((other) => key.slice(0, at) + other + key.slice(at)),
    );
    expect(changed.filter((other) => isWellFormedKey(other, true))).toEqual([]);
  });

  it.each(KNOWN_KEYS)('every letter of %s in the other case', (key) => {
    const changed = [...key]
      .map((character, at) => key.slice(0, at) + swapCase(character) + key.slice(at + 1))
      .filter((other) => other !== key);
    expect(changed).toHaveLength(key.replace(/[^A-Za-z]/g, '').length);
    expect(changed.filter((other) => isWellFormedKey(other, true))).toEqual([]);
  });

  it.each(KNOWN_KEYS)('every two adjacent characters of %s, swapped', (key) => {
    const changed = [...key]
      .map((character, at) => key.slice(0, at) + key.charAt(at + 1) + character + key.slice(at + 2))
      .filter((other) => other !== key);
    expect(changed.filter((other) => isWellFormedKey(other, true))).toEqual([]);
  });
});

describe('a text in the wrong form is refused, whether hex is accepted or not:', () => {
  it.each([
    ['nothing', ''],
    ['a blank', ' '],
    ['the prefix alone', 'acme_live'],
    ['the prefix and "_"', 'acme_live_'],
    ['the random part alone', KNOWN_KEY.slice('acme_live_'.length)],
    ['a key without its checksum', KNOWN_KEY.slice(0, -6)],
    ['a key with a blank before it', ` ${KNOWN_KEY}`],
    ['a key with a blank after it', `${KNOWN_KEY} `],
    ['a key with a line end', `${KNOWN_KEY}\n`],
    ['a key with a carriage return', `${KNOWN_KEY}\r`],
    ['a key with NUL', `${KNOWN_KEY}\0`],
    ['a key in quotation marks', `"${KNOWN_KEY}"`],
    ['a key after its scheme', `Bearer ${KNOWN_KEY}`],
    ['a key twice', KNOWN_KEY + KNOWN_KEY],
    ['two keys in a list', `${KNOWN_KEY}, ${KNOWN_KEY}`],
    ['a key in upper case', KNOWN_KEY.toUpperCase()],
    ['a key in lower case', KNOWN_KEY.toLowerCase()],
    ['a key backwards', [...KNOWN_KEY].reverse().join('')],
    ['a key percent-encoded', KNOWN_KEY.replaceAll('_', '%5F')],
    ['a key with a Cyrillic a', KNOWN_KEY.replace('a', 'а')],
    ['a key with a fullwidth underscore', KNOWN_KEY.replace('_', '＿')],
    ['a key on the second line', `x\n${KNOWN_KEY}`],
    ['16 KB', 'a'.repeat(16_384)],
    ['16 KB that end in a key', `${'a'.repeat(16_384)}_${KNOWN_KEY}`],
    ['lone surrogates', '\ud800'.repeat(59)],
    ['a masked key', 'acme_live_UHgX...BNJk'],
  ])('%s', (_, credential) => {
    expect(isWellFormedKey(credential, false)).toBe(false);
    expect(isWellFormedKey(credential, true)).toBe(false);
  });

  it.each([
    ['no prefix', `_${RANDOM_43}`],
    ['no prefix and no "_"', RANDOM_43],
    ['a prefix that begins with a digit', `1acme_${RANDOM_43}`],
    ['a prefix that begins with "_"', `_acme_${RANDOM_43}`],
    ['a prefix with two "_" in a row', `acme__live_${RANDOM_43}`],
    ['a prefix that ends in "_"', `acme__${RANDOM_43}`],
    ['a prefix with "-"', `acme-live_${RANDOM_43}`],
    ['a prefix with a blank', `acme live_${RANDOM_43}`],
    ['a prefix with a letter that is not ASCII', `acmé_${RANDOM_43}`],
    ['a prefix of 33 characters', `${'a'.repeat(33)}_${RANDOM_43}`],
    ['42 random characters', `acme_${RANDOM_43.slice(1)}`],
    ['44 random characters', `acme_0${RANDOM_43}`],
    ['"-" for "_" before the random part', `acme-${RANDOM_43}`],
    ['"+" among the random characters', `acme_+${RANDOM_43.slice(1)}`],
    ['"_" among the random characters', `acme_${RANDOM_43.slice(0, 20)}_${RANDOM_43.slice(21)}`],
  ])('%s, with a correct checksum', (_, body) => {
    expect(isWellFormedKey(sealed(body), true)).toBe(false);
  });
});

describe('a hex key', () => {
  it('is well-formed only if hex is accepted', () => {
    expect(isWellFormedKey(HEX_KEY, true)).toBe(true);
    expect(isWellFormedKey(HEX_KEY, false)).toBe(false);
  });

  it('does not exclude the checksummed form', () => {
    expect(isWellFormedKey(KNOWN_KEY, true)).toBe(true);
  });

  it.each([
    ['in upper case', HEX_KEY.toUpperCase()],
    ['with one digit in upper case', HEX_KEY.replace('e', 'E')],
    ['of 63 digits', HEX_KEY.slice(1)],
    ['of 65 digits', `0${HEX_KEY}`],
    ['with a letter beyond f', HEX_KEY.replace('e', 'g')],
    ['with 0x before it', `0x${HEX_KEY.slice(2)}`],
    ['with a line end', `${HEX_KEY}\n`],
    ['with a line end for its last digit', `${HEX_KEY.slice(0, -1)}\n`],
    ['with a blank before it', ` ${HEX_KEY}`],
    ['under a prefix', `acme_live_${HEX_KEY}`],
  ])('%s is refused', (_, credential) => {
    expect(isWellFormedKey(credential, true)).toBe(false);
  });
});

describe('a key prefix', () => {
  it.each([
    'k',
    'key',
    'acme_live',
    'my_company_live_eu1',
    'A',
    'a_1',
    'a1_2_3',
    'a9_9_0z',
    'a'.repeat(32),
  ])('may be %s', (prefix) => {
    expect(isKeyPrefix(prefix)).toBe(true);
  });

  it.each([
    ['empty', ''],
    ['of 33 characters', 'a'.repeat(33)],
    ['begun with a digit', '1key'],
    ['begun with "_"', '_key'],
    ['ended with "_"', 'key_'],
    ['given two "_" in a row', 'acme__live'],
    ['joined by "-"', 'acme-live'],
    ['given a blank', 'acme live'],
    ['given a line end', 'acme\n'],
    ['given a letter that is not ASCII', 'clé'],
    ['a pattern', 'a.*'],
  ])('may not be %s', (_, prefix) => {
    expect(isKeyPrefix(prefix)).toBe(false);
  });
});

describe('the visible part of a key', () => {
  it.each([
    ['acme_live_UHgX', KNOWN_KEY],
    ['key_51w3', 'key_51w3qwgWE5RyS7gR8YKudZAiu3ZAWq5PcQgcUUcOY1f2nRAul'],
    ['my_company_live_eu1_k5zC', 'my_company_live_eu1_k5zCogGMyNtiOhJ7GFLNNWapmWB1OqsR2X1EhR2ODnc2NTKjo'],
  ])('is %s at the start: the constant part and 4 random characters', (prefix, key) => {
    expect(visiblePrefix(key)).toBe(prefix);
  });

  it('is the first 8 characters of a hex key, as Rails stores them', () => {
    expect(visiblePrefix(HEX_KEY)).toBe('604eae8c');
  });

  it.each([
    ['BNJk', KNOWN_KEY],
    ['43a0', HEX_KEY],
  ])('is %s at the end: the last 4 characters', (suffix, key) => {
    expect(visibleSuffix(key)).toBe(suffix);
  });
});

describe('the pattern for secret scanners', () => {
  it.each([
    ['alone', (key: string) => key],
    ['in a sentence', (key: string) => `The key ${key}, which expires soon.`],
    ['in an environment file', (key: string) => `A=1\nAPI_KEY=${key}\nB=2`],
    ['in JSON', (key: string) => JSON.stringify({ key })],
    ['in a header', (key: string) => `curl -H 'Authorization: Bearer ${key}' localhost`],
    ['in a URL', (key: string) => `https://example.com/?key=${key}&page=2#top`],
    ['between characters that are not ASCII', (key: string) => `«${key}»`],
  ])('finds a key %s', (_, around) => {
    const text = around(KNOWN_KEY);
    expect(text.match(apiKeyPattern())).toEqual([KNOWN_KEY]);
    expect(text.match(apiKeyPattern('acme_live'))).toEqual([KNOWN_KEY]);
  });

  it('finds every key in a text, of every prefix', () => {
    expect(KNOWN_KEYS.join(' and ').match(apiKeyPattern())).toEqual(KNOWN_KEYS);
  });

  it('finds a key of a prefix with any digit in it', () => {
    const key = mintKey('checksummed', 'a9_9_0z');
    expect(`(${key})`.match(apiKeyPattern())).toEqual([key]);
  });

  it('finds minted keys whole', () => {
    const keys = Array.from({ length: 1_000 }, () => mintKey('checksummed', 'my_company_live'));
    expect(keys.join('\n').match(apiKeyPattern('my_company_live'))).toEqual(keys);
  });

  it('finds only keys of the given prefix', () => {
    expect(KNOWN_KEYS.join(' ').match(apiKeyPattern('key'))).toEqual([KNOWN_KEYS[3]]);
  });

  it('does not check the checksum, because a mistyped key can be part of a leak', () => {
    expect(`${KNOWN_KEY.slice(0, -1)}0`.match(apiKeyPattern())).toHaveLength(1);
  });

  it.each([
    ['a masked key', 'acme_live_UHgX...BNJk'],
    ['a key that lacks a character', KNOWN_KEY.slice(0, -1)],
    ['a key with a character too many', `${KNOWN_KEY}0`],
    ['a hex key', HEX_KEY],
    ['a long identifier', `a_${'b'.repeat(80)}`],
    ['nothing', ''],
  ])('does not find %s', (_, text) => {
    expect(text.match(apiKeyPattern())).toBeNull();
  });

  it('does not find a key whose prefix only ends with the given one', () => {
    expect(`not${KNOWN_KEY}`.match(apiKeyPattern('acme_live'))).toBeNull();
  });

  it('is a new RegExp each time, so that no caller shares its lastIndex', () => {
    const pattern = apiKeyPattern('acme_live');
    expect(pattern.test(KNOWN_KEY)).toBe(true);
    expect(pattern.lastIndex).toBe(KNOWN_KEY.length);
    expect(apiKeyPattern('acme_live').test(KNOWN_KEY)).toBe(true);
  });

  it.each(['', 'a.*', 'key_', 'a'.repeat(33)])('throws for %j, which is not a valid prefix', (prefix) => {
    expect(() => apiKeyPattern(prefix)).toThrow(RangeError);
  });
});
