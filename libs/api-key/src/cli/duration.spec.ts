import { parseDuration } from './duration';

const DAY = 86_400_000;

describe('a duration', () => {
  it.each([
    ['1s', 1_000],
    ['90s', 90_000],
    ['15m', 900_000],
    ['24h', DAY],
    ['90d', 90 * DAY],
    ['52w', 364 * DAY],
    ['36600d', 36_600 * DAY],
    ['3162240000s', 36_600 * DAY],
  ])('of %s has %d milliseconds', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    ['nothing', ''],
    ['a unit alone', 'd'],
    ['a number alone', '90'],
    ['none', '0d'],
    ['zero with several digits', '000s'],
    ['a negative number', '-1d'],
    ['a signed number', '+1d'],
    ['a fraction', '1.5h'],
    ['an exponent', '1e3s'],
    ['hexadecimal', '0x1d'],
    ['a unit in upper case', '90D'],
    ['an unknown unit', '1y'],
    ['a month', '1M'],
    ['milliseconds', '100ms'],
    ['a word', '90days'],
    ['two durations', '1d12h'],
    ['a space between number and unit', '90 d'],
    ['a space before it', ' 90d'],
    ['a line end after', '90d\n'],
    ['digits that are not ASCII', '９d'],
    ['a date', '2030-01-01'],
    ['never', 'never'],
    ['a day more than 100 years', '36601d'],
    ['a second more than 100 years', '3162240001s'],
    ['13 digits', '1000000000000s'],
    ['more than a number holds', `${'9'.repeat(400)}d`],
  ])('may not be %s', (_, text) => {
    expect(parseDuration(text)).toBeNull();
  });
});
