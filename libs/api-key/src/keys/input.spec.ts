import { ApiKeyInputError } from '../model/api-key.errors';
import { type CreateApiKeyInput, checkNewKey, checkPage, isKeyId, type ListApiKeysInput } from './input';

const NOW = new Date('2030-01-01T00:00:00Z');
const CATALOGUE = ['orders:read', 'orders:write'];

function problemsOf(check: () => void): readonly string[] {
  try {
    check();
    return [];
  } catch (error) {
    if (error instanceof ApiKeyInputError && error.problems.length > 0) return error.problems;
    throw error;
  }
}

/** The problems of a new key whose fields are as a JavaScript caller may give them. */
function problemsOfKey(fields: object, catalogue: readonly string[] | null = null): readonly string[] {
  return problemsOf(() =>
    checkNewKey({ name: 'ci', ...fields } as CreateApiKeyInput, catalogue, NOW, () => []),
  );
}

function problemsOfPage(input: object): readonly string[] {
  return problemsOf(() => checkPage(input as ListApiKeysInput));
}

describe('the name of a new key', () => {
  it.each([
    ['one character', 'a'],
    ['255 characters', 'a'.repeat(255)],
    ['255 characters beyond the first plane', '🔑'.repeat(255)],
    ['blanks between words', 'deploy of staging'],
    ['letters that are not ASCII', 'Schlüssel für Köln'],
    ['quotation marks and tags', `"><b>'; DROP TABLE api_keys --`],
  ])('may be %s', (_, name) => {
    expect(problemsOfKey({ name })).toEqual([]);
  });

  it.each([
    ['undefined', undefined],
    ['null', null],
    ['empty', ''],
    ['spaces', '   '],
    ['tabs and line ends', '\t\r\n'],
    ['a no-break space', '\u00a0'],
    ['256 characters', 'a'.repeat(256)],
    ['256 characters beyond the first plane', '🔑'.repeat(256)],
    ['text with NUL', 'a\0b'],
    ['text with a line end', 'a\nb'],
    ['text with a tab', 'a\tb'],
    ['text with an escape', 'a\u001b[2Jb'],
    ['text with DEL', 'a\u007fb'],
    ['text with a C1 control character', 'a\u0085b'],
    ['a number', 7],
    ['a list', ['ci']],
    ['an object', { toString: () => 'ci' }],
    ['a String object', Object('ci')],
  ])('may not be %s', (_, name) => {
    expect(problemsOfKey({ name })).toEqual(['name must have 1 to 255 characters and no control characters']);
  });
});

describe('the scopes of a new key', () => {
  it.each([
    ['left out', undefined],
    ['none', []],
    ['one', ['orders:read']],
    ['wildcards', ['orders:*', '*']],
    ['100', Array.from({ length: 100 }, (_, i) => `scope:${i}`)],
  ])('may be %s', (_, scopes) => {
    expect(problemsOfKey({ scopes })).toEqual([]);
  });

  it.each([
    ['null', null],
    ['text', 'orders:read'],
    ['an object', { 0: 'orders:read', length: 1 }],
    ['a set', new Set(['orders:read'])],
    ['101', Array.from({ length: 101 }, (_, i) => `scope:${i}`)],
  ])('may not be %s', (_, scopes) => {
    expect(problemsOfKey({ scopes })).toEqual(['scopes must be a list of at most 100 scopes']);
  });

  it.each([
    ['nothing', ''],
    ['a blank', ' '],
    ['two words', 'orders:read orders:write'],
    ['a quotation mark', '"'],
    ['NUL', 'orders\0'],
    ['256 characters', 'a'.repeat(256)],
    ['null', null],
    ['undefined', undefined],
    ['a number', 1],
    ['a list', ['orders:read']],
  ])('may not hold %s', (_, scope) => {
    expect(problemsOfKey({ scopes: ['orders:read', scope] })).toEqual([
      'scopes must be texts of printable ASCII without spaces, quotation marks and backslashes',
    ]);
  });

  it('may be any scopes if there is no catalogue', () => {
    expect(problemsOfKey({ scopes: ['anything'] }, null)).toEqual([]);
  });

  it.each(['orders:read', 'orders:*', '*'])('may be %s if the catalogue contains it', (scope) => {
    expect(problemsOfKey({ scopes: [scope] }, CATALOGUE)).toEqual([]);
  });

  it.each([
    'orders',
    'orders:delete',
    'users:*',
    'Orders:read',
  ])('may not be %s if the catalogue lacks it, and the error lists the catalogue', (scope) => {
    expect(problemsOfKey({ scopes: [scope] }, CATALOGUE)).toEqual([
      `scope "${scope}" is not in the catalogue: orders:read, orders:write`,
    ]);
  });

  it('may be empty with an empty catalogue, but not *', () => {
    expect(problemsOfKey({ scopes: [] }, [])).toEqual([]);
    expect(problemsOfKey({ scopes: ['*'] }, [])).toHaveLength(1);
  });
});

describe('the expiry of a new key', () => {
  it.each([
    ['left out', undefined],
    ['null', null],
    ['a millisecond from now', new Date(NOW.getTime() + 1)],
    ['the end of the year 9999', new Date('9999-12-31T23:59:59.999Z')],
  ])('may be %s', (_, expiresAt) => {
    expect(problemsOfKey({ expiresAt })).toEqual([]);
  });

  it.each([
    ['now', NOW],
    ['in the past', new Date(0)],
    ['no date', new Date(Number.NaN)],
    ['text', '2031-01-01T00:00:00Z'],
    ['a number', NOW.getTime() + 1_000],
    ['what only looks like a date', { getTime: () => Number.POSITIVE_INFINITY }],
    ['true', true],
    ['after the year 9999', new Date(Date.UTC(10_000, 0))],
  ])('may not be %s', (_, expiresAt) => {
    expect(problemsOfKey({ expiresAt })).toEqual([
      'expiresAt must be a date in the future, up to 9999-12-31T23:59:59.999Z, or null',
    ]);
  });
});

describe('a new key with several faults', () => {
  it('is refused with each problem once', () => {
    expect(problemsOfKey({ name: '', scopes: ['', ' ', 'users:read'], expiresAt: NOW }, CATALOGUE)).toEqual([
      'name must have 1 to 255 characters and no control characters',
      'scopes must be texts of printable ASCII without spaces, quotation marks and backslashes',
      'scope "users:read" is not in the catalogue: orders:read, orders:write',
      'expiresAt must be a date in the future, up to 9999-12-31T23:59:59.999Z, or null',
    ]);
  });
});

describe('a page of keys', () => {
  it.each([
    {},
    { userId: '42' },
    { limit: 1 },
    { limit: 100 },
    { cursor: null },
    { cursor: '17' },
    { userId: '42', limit: 50, cursor: '9223372036854775807' },
    { limit: undefined, cursor: undefined },
  ])('may be requested with %j', (input) => {
    expect(problemsOfPage(input)).toEqual([]);
  });

  it.each([
    ['undefined', undefined],
    ['null', null],
    ['an object', { $ne: '' }],
    ['a list', ['42']],
  ])('is refused if its owner is %s, because that must not mean all owners', (_, userId) => {
    expect(problemsOfPage({ userId })).toEqual([
      'userId must be text; omit it to list the keys of all owners',
    ]);
  });

  it.each([
    0,
    -1,
    101,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '50',
    null,
  ])('is refused if its limit is %p', (limit) => {
    expect(problemsOfPage({ limit })).toEqual(['limit must be a whole number from 1 to 100']);
  });

  it.each([
    '',
    '0',
    '-1',
    '1.5',
    'abc',
    '9223372036854775808',
    17,
    {},
  ])('is refused if its cursor is %p', (cursor) => {
    expect(problemsOfPage({ cursor })).toEqual(['cursor must be the nextCursor of another page']);
  });

  it('is refused with one problem for each fault', () => {
    expect(problemsOfPage({ userId: undefined, limit: 0, cursor: '' })).toHaveLength(3);
  });
});

describe('the id of a key', () => {
  it.each(['1', '42', '1000000000000000000', '9223372036854775807'])('may be %s', (id) => {
    expect(isKeyId(id)).toBe(true);
  });

  it.each([
    ['nothing', ''],
    ['0', '0'],
    ['a leading zero', '01'],
    ['a sign', '+1'],
    ['a negative number', '-1'],
    ['a fraction', '1.0'],
    ['an exponent', '1e3'],
    ['hexadecimal', '0x1'],
    ['a blank before it', ' 1'],
    ['a line end after it', '1\n'],
    ['NUL after it', '1\0'],
    ['digits that are not ASCII', '１２'],
    ['a uuid', '3f2504e0-4f89-11d3-9a0c-0305e82c3301'],
    ['SQL', '1 OR 1=1'],
    ['one more than bigint holds', '9223372036854775808'],
    ['the largest of 19 digits', '9999999999999999999'],
    ['20 digits', '10000000000000000000'],
    ['16 KB of digits', '1'.repeat(16_384)],
    ['a number', 1],
    ['a bigint', 1n],
    ['null', null],
    ['undefined', undefined],
    ['a list', ['1']],
  ])('may not be %s', (_, id) => {
    expect(isKeyId(id)).toBe(false);
  });
});
