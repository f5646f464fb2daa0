import { mintKey } from './format';
import { KeyForms, type KeyFormsSettings } from './key-forms';

const NESTED: KeyFormsSettings = {
  format: 'checksummed',
  current: new Map([
    ['live', 'acme'],
    ['test', 'acme_test'],
  ]),
  accepted: new Map([
    ['acme', 'live'],
    ['acme_test', 'test'],
    ['old', null],
  ]),
  hexEnvironment: null,
};
const SINGLE: KeyFormsSettings = {
  format: 'checksummed',
  current: new Map([[null, 'key']]),
  accepted: new Map([['key', null]]),
  hexEnvironment: null,
};

describe('the environment of a key', () => {
  const forms = new KeyForms(NESTED);

  it.each([
    ['acme', 'live'],
    ['acme_test', 'test'],
    ['old', null],
    ['acme_tes', undefined],
    ['acme_test_test', undefined],
    ['test', undefined],
    ['ACME', undefined],
  ])('with the prefix %s is %s, also if one prefix begins with another', (prefix, environment) => {
    const key = mintKey('checksummed', prefix);
    expect(forms.environmentOf(key)).toBe(environment);
    expect(forms.problemOf(key)).toBe(environment === undefined ? 'prefix' : null);
  });

  it.each([
    ['acme_3fKd', 'live'],
    ['acme_test', 'live'],
    ['acme_test_3fKd', 'test'],
    ['acme_', 'live'],
    ['acme', undefined],
    ['604eae8c', undefined],
    ['_3fKd', undefined],
    ['', undefined],
  ])('is told by its stored start %s: %s', (start, environment) => {
    expect(forms.environmentOf(start)).toBe(environment);
  });

  it.each([null, 'live'])('of hex digits is %s if the format is hex', (hexEnvironment) => {
    const hex = new KeyForms({ ...NESTED, format: 'hex', hexEnvironment });
    expect(hex.environmentOf(mintKey('hex', ''))).toBe(hexEnvironment);
    expect(hex.environmentOf('604eae8c')).toBe(hexEnvironment);
    expect(hex.problemOf(mintKey('hex', ''))).toBeNull();
  });

  it('of hex digits is unknown, and the key malformed, if the format is not hex', () => {
    expect(new KeyForms({ ...NESTED, hexEnvironment: 'live' }).problemOf(mintKey('hex', ''))).toBe(
      'malformed',
    );
  });
});

describe('the start of a key that is imported', () => {
  const checksummed = new KeyForms(NESTED);
  const hex = new KeyForms({ ...NESTED, format: 'hex' });

  it.each([
    ['604eae8c', 'eight hex digits, as Rails stores them'],
    ['604eae8c3be82e560fd189046e5430eeaf2688eaf3b43a30c26c2d2734f843a0', 'a whole hex key'],
    ['acme_3fKd', 'an accepted prefix'],
    ['old_3fKd', 'an earlier prefix, which no new key gets'],
  ])('may be %s: %s', (start) => {
    expect(checksummed.mayStart(start)).toBe(true);
    expect(hex.mayStart(start)).toBe(true);
  });

  it.each([
    ['', 'nothing'],
    ['604EAE8C', 'hex digits in upper case'],
    ['x604eae8', 'hex digits after another letter'],
    ['604eae8x', 'hex digits before another letter'],
    ['acme-604e', 'a prefix without its underscore'],
    ['beef_604e', 'hex digits as a prefix, which is not accepted'],
    ['other_3fKd', 'a prefix of another application'],
  ])('may not be %j: %s', (start) => {
    expect(checksummed.mayStart(start)).toBe(false);
    expect(hex.mayStart(start)).toBe(false);
    expect(hex.environmentOf(start)).toBeUndefined();
  });
});

describe('an application', () => {
  it.each<[string, KeyFormsSettings, readonly string[]]>([
    ['its environments, although a prefix without one is accepted', NESTED, ['live', 'test']],
    ['no environment if it has one prefix', SINGLE, []],
  ])('names %s', (_, settings, environments) => {
    expect(new KeyForms(settings).environments).toEqual(environments);
  });

  it.each([
    'checksummed',
    'hex',
  ] as const)('of the format %s names all prefixes that it accepts', (format) => {
    expect(new KeyForms({ ...NESTED, format }).accepted).toEqual({
      prefixes: ['acme', 'acme_test', 'old'],
      hex: format === 'hex',
    });
  });
});

describe('a new key', () => {
  it.each<[string, KeyFormsSettings, string | null, RegExp | null]>([
    ['one prefix', SINGLE, null, /^key_\w{49}$/],
    ['one prefix and a name', SINGLE, 'live', null],
    ['environments', NESTED, 'test', /^acme_test_\w{49}$/],
    ['environments and no name', NESTED, null, null],
    ['environments and another name', NESTED, 'constructor', null],
    ['one prefix, as hex', { ...SINGLE, format: 'hex' }, null, /^[0-9a-f]{64}$/],
    ['environments, as hex', { ...NESTED, format: 'hex' }, null, /^[0-9a-f]{64}$/],
    ['environments that hex keys do not have', { ...NESTED, format: 'hex' }, 'live', /^acme_\w{49}$/],
    [
      'the environment of hex keys',
      { ...NESTED, format: 'hex', hexEnvironment: 'live' },
      'live',
      /^[0-9a-f]{64}$/,
    ],
    ['no environment that hex keys have', { ...NESTED, format: 'hex', hexEnvironment: 'live' }, null, null],
  ])('of an application with %s has its form, or none', (_, settings, environment, form) => {
    const forms = new KeyForms(settings);
    expect(forms.canMint(environment)).toBe(form !== null);
    if (form === null)
      expect(() => forms.mint(environment)).toThrow(new RangeError('no new key can have this environment'));
    else expect(forms.mint(environment)).toMatch(form);
  });

  it.each<[KeyFormsSettings, string | null | undefined]>([
    [SINGLE, null],
    [NESTED, undefined],
    [{ ...NESTED, format: 'hex' }, null],
    [{ ...NESTED, format: 'hex', hexEnvironment: 'live' }, 'live'],
  ])('has by default the environment that all new keys have, if there is one (%#)', (settings, expected) => {
    expect(new KeyForms(settings).defaultEnvironment).toBe(expected);
  });
});
