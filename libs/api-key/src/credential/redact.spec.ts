import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { mintKey } from './format';
import { redactApiKeys } from './redact';

const prefixes = fc.constantFrom('key', 'acme_live', 'a', `${'p'.repeat(31)}1`);
const around = fc.constantFrom('', ' ', '"', ',', '\n', '=', ':', '/', '.', '-', 'é', '_', 'Bearer ');

it('no complete key is left, whatever text surrounds it', () => {
  fc.assert(
    fc.property(
      prefixes,
      around,
      around,
      fc.constantFrom('checksummed' as const, 'hex' as const),
      (prefix, before, after, format) => {
        const key = mintKey(format, prefix);
        const redacted = redactApiKeys(`${before}${key}${after}`);
        expect(redacted).not.toContain(key.slice(-49));
        expect(redacted).toContain('...');
      },
    ),
    { numRuns: 2_000 },
  );
});

it.each([
  'checksummed',
  'hex',
] as const)('a truncated key of the %s form is redacted, unless too few characters are left to guess the rest', (format) => {
  fc.assert(
    fc.property(prefixes, around, fc.nat({ max: 16 }), (prefix, before, missing) => {
      const key = mintKey(format, prefix);
      const rest = key.slice(0, key.length - missing);
      expect(redactApiKeys(`${before}${rest}`)).not.toContain(rest.slice(-20));
    }),
    { numRuns: 2_000 },
  );
});

it('the redacted text still identifies the key', () => {
  const key = mintKey('checksummed', 'acme_live');
  expect(redactApiKeys(`a=${key}; b=${key}`)).toBe(
    `a=${key.slice(0, 14)}...${key.slice(-4)}; b=${key.slice(0, 14)}...${key.slice(-4)}`,
  );
  const hex = randomBytes(32).toString('hex');
  expect(redactApiKeys(`key ${hex}.`)).toBe(`key ${hex.slice(0, 8)}...${hex.slice(-4)}.`);
});

it('a key is redacted together with the word characters next to it', () => {
  const key = mintKey('checksummed', 'key');
  expect(redactApiKeys(`${key}andmore`)).not.toContain(key.slice(5, 40));
});

it.each([
  '',
  'text without a key',
  'a_b_c_d',
  'f'.repeat(47),
  '_'.repeat(1_000),
  'commit 356a192b7913b04c54574d18c28d46e6395428ab',
  'sha1:356a192b7913b04c54574d18c28d46e6395428ab',
  '0b5c3f64-9a43-4c53-8f5b-6a5d6f1f4f0e',
  `req_${'0b5c3f64-9a43-4c53-8f5b-6a5d6f1f4f0e'.replaceAll('-', '')}`,
  'key_tooshort',
])('%j stays unchanged', (text) => {
  expect(redactApiKeys(text)).toBe(text);
});

it.each([
  ['word characters', 'a'],
  ['underscores', '_'],
  ['parts', 'a_'],
  ['hex digits', 'f'],
  ['hex digits that are a little too few', `${'f'.repeat(47)}.`],
  ['keys', 'key_'.padEnd(50, 'x')],
])('two megabytes of %s are redacted in time that is not quadratic', (_, unit) => {
  const text = unit.repeat(2_000_000 / unit.length);
  expect(redactApiKeys(text).length).toBeLessThanOrEqual(text.length);
});
