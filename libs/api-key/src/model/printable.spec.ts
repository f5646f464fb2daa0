import { printable, printableLines } from './printable';

const ALL = Array.from({ length: 0x110000 }, (_, code) => code)
  .filter((code) => code < 0xd800 || code > 0xdfff)
  .map((code) => String.fromCodePoint(code))
  .join('');
const OBEYED = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

it.each([
  ['an escape sequence', 'a\u001b[2Jb', 'a\\u001b[2Jb'],
  ['the C1 form of an escape sequence', 'a\u009b2Jb', 'a\\u009b2Jb'],
  ['a line end', 'a\r\nb', 'a\\u000d\\u000ab'],
  ['a line separator', 'a\u2028b\u2029c', 'a\\u2028b\\u2029c'],
  ['a reversed text', 'a\u202egpj.exe', 'a\\u202egpj.exe'],
  ['an isolated text', '\u2066a\u2069', '\\u2066a\\u2069'],
  ['an invisible space', 'ad\u200bmin\ufeff', 'ad\\u200bmin\\ufeff'],
  ['a tag character beyond U+FFFF', 'a\u{e0041}', 'a\\udb40\\udc41'],
  ['nothing, in a text of letters, signs and emoji', 'Grüße, 你好, 👍 ~', 'Grüße, 你好, 👍 ~'],
])('%s is shown as an escape', (_, text, shown) => {
  expect(printable(text)).toBe(shown);
});

it('of all characters of Unicode none that a terminal obeys is left, and all others are', () => {
  expect(printable(ALL)).not.toMatch(OBEYED);
  const others = ALL.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '');
  expect(printable(others) === others).toBe(true);
});

it('lines stay lines', () => {
  expect(printableLines('a\nb\u0085c')).toBe('a\nb\\u0085c');
});

it('a JSON document of all characters keeps its value', () => {
  const shown = printableLines(JSON.stringify({ [ALL]: [ALL] }, null, 2));
  expect(shown.replaceAll('\n', '')).not.toMatch(OBEYED);
  expect(
    Object.entries(JSON.parse(shown))
      .flat(2)
      .every((text) => text === ALL),
  ).toBe(true);
});
