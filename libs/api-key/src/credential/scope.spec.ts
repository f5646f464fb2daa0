import {
  holdsScope,
  isInCatalogue,
  isScope,
  isWildcard,
  missingScopes,
  scopeGrants,
  wildcardsOf,
} from './scope';

describe('a scope', () => {
  it.each([
    'orders',
    'orders:read',
    'orders:*',
    '*',
    'a',
    '!',
    '~',
    '#[]',
    'https://example.com/orders.read',
    'a'.repeat(255),
  ])('may be %s', (text) => {
    expect(isScope(text)).toBe(true);
  });

  it.each([
    ['nothing', ''],
    ['a blank', ' '],
    ['two words', 'orders:read orders:write'],
    ['text with a quotation mark', 'orders"'],
    ['text with a backslash', 'orders\\'],
    ['text with a line end', 'orders\n'],
    ['text with a tab', 'orders\tread'],
    ['text with NUL', 'orders\0'],
    ['text with DEL', 'orders\x7f'],
    ['text that is not ASCII', 'ordénes'],
    ['256 characters', 'a'.repeat(256)],
    ['undefined', undefined],
    ['null', null],
    ['a number', 1],
    ['a list', ['orders:read']],
    ['an object', { toString: () => 'orders:read' }],
  ])('may not be %s', (_, value) => {
    expect(isScope(value)).toBe(false);
  });
});

describe('a wildcard', () => {
  it.each(['*', 'orders:*', 'orders:items:*'])('is %s', (scope) => {
    expect(isWildcard(scope)).toBe(true);
  });

  it.each([
    'orders',
    'orders:read',
    'orders*',
    'ord*',
    '**',
    '*:read',
    'orders:*:read',
    'orders:**',
  ])('is not %s', (scope) => {
    expect(isWildcard(scope)).toBe(false);
  });
});

describe('one held scope', () => {
  it.each([
    ['orders:read', 'orders:read'],
    ['orders', 'orders'],
    ['*', 'orders:read'],
    ['*', 'orders'],
    ['*', 'orders:*'],
    ['*', '*'],
    ['orders:*', 'orders:read'],
    ['orders:*', 'orders:items:read'],
    ['orders:*', 'orders:items:*'],
    ['orders:*', 'orders:*'],
    ['orders:items:*', 'orders:items:read'],
  ])('%s holds %s', (held, wanted) => {
    expect(scopeGrants(held, wanted)).toBe(true);
  });

  it.each([
    ['orders:*', 'orders'],
    ['orders:*', 'orders:'],
    ['orders:*', 'order:read'],
    ['orders:*', 'ordersx:read'],
    ['orders:*', 'my:orders:read'],
    ['orders:*', 'Orders:read'],
    ['orders:*', '*'],
    ['orders:items:*', 'orders:read'],
    ['orders:items:*', 'orders:*'],
    ['orders:items:*', 'orders:items'],
    ['orders', 'orders:read'],
    ['orders:read', 'orders'],
    ['orders:read', 'orders:*'],
    ['orders:read', '*'],
    ['orders:read', 'orders:write'],
    ['orders:read', 'orders:rea'],
    ['orders:rea', 'orders:read'],
    ['orders:read', 'ORDERS:READ'],
    ['orders:', 'orders:read'],
    ['orders*', 'orders:read'],
    ['ord*', 'orders'],
    ['*:read', 'orders:read'],
    ['orders:**', 'orders:read'],
    ['**', 'orders'],
    ['.*', 'orders'],
    ['', 'orders'],
  ])('%s never holds %s', (held, wanted) => {
    expect(scopeGrants(held, wanted)).toBe(false);
  });
});

describe('held scopes together', () => {
  it('hold every scope that any one of them holds', () => {
    expect(holdsScope(['users:read', 'orders:*'], 'orders:write')).toBe(true);
  });

  it('do not hold a scope that none of them holds', () => {
    expect(holdsScope(['users:read', 'orders:read'], 'orders:write')).toBe(false);
  });

  it('hold no scope if the list is empty', () => {
    expect(holdsScope([], 'orders:read')).toBe(false);
  });
});

describe('of the scopes that a route requires', () => {
  const HELD = ['orders:read', 'users:*'];

  it.each([
    ['no scope is required', { all: [], any: [] }, []],
    ['all scopes are held', { all: ['orders:read', 'users:write'], any: [] }, []],
    ['one of all scopes is missing', { all: ['orders:read', 'orders:write'], any: [] }, ['orders:write']],
    ['all scopes are missing', { all: ['b', 'a'], any: [] }, ['b', 'a']],
    ['one of a group is held', { all: [], any: [['orders:write', 'orders:read']] }, []],
    ['one of a group is held by a wildcard', { all: [], any: [['orders:write', 'users:read']] }, []],
    ['none of a group is held', { all: [], any: [['a', 'b']] }, ['a', 'b']],
    [
      'one group of two has none held',
      {
        all: [],
        any: [
          ['orders:read', 'a'],
          ['b', 'c'],
        ],
      },
      ['b', 'c'],
    ],
    ['all scopes and a group are missing', { all: ['a'], any: [['b', 'c']] }, ['a', 'b', 'c']],
    ['a scope is required twice', { all: ['a', 'a'], any: [['a', 'b'], ['b']] }, ['a', 'b']],
  ])('each missing one is listed once if %s', (_, demand, missing) => {
    expect(missingScopes(HELD, demand)).toEqual(missing);
  });

  it('all are missing if no scope is held', () => {
    expect(missingScopes([], { all: ['a'], any: [['b', 'c']] })).toEqual(['a', 'b', 'c']);
  });

  it('none is missing if * is held', () => {
    expect(missingScopes(['*'], { all: ['a', 'b:c'], any: [['d'], ['e', 'f']] })).toEqual([]);
  });
});

describe('a catalogue', () => {
  const CATALOGUE = ['orders:read', 'orders:items:write', 'users'];

  it.each(['orders:read', 'users', 'orders:*', 'orders:items:*', '*'])('knows %s', (scope) => {
    expect(isInCatalogue(CATALOGUE, scope)).toBe(true);
  });

  it.each([
    'orders',
    'orders:write',
    'users:*',
    'orders:read:*',
    'order:*',
    'ORDERS:READ',
    '',
  ])('does not know %s', (scope) => {
    expect(isInCatalogue(CATALOGUE, scope)).toBe(false);
  });

  it('without scopes knows no scope, not even *', () => {
    expect(isInCatalogue([], 'orders:read')).toBe(false);
    expect(isInCatalogue([], '*')).toBe(false);
  });
});

it.each([
  ['orders:read', ['*', 'orders:*']],
  ['orders:lines:read', ['*', 'orders:*', 'orders:lines:*']],
  ['orders', ['*']],
  ['orders:', ['*']],
  ['orders:*', ['*']],
  ['*', []],
  ['\u{1f4e6}:read', ['*', '\u{1f4e6}:*']],
])('wildcardsOf(%j) returns each wildcard that grants the scope', (scope, wildcards) => {
  expect(wildcardsOf(scope)).toEqual(wildcards);
  for (const wildcard of wildcards) expect(scopeGrants(wildcard, scope)).toBe(true);
});
