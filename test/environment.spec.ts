import { environment } from '../src/environment';

describe('RATE_LIMIT of the sample', () => {
  it.each([
    ['600/60s', { limit: 600, windowSeconds: 60 }],
    ['5/1h', { limit: 5, windowSeconds: 3_600 }],
    ['1/366d', { limit: 1, windowSeconds: 31_622_400 }],
    ['', null],
    [undefined, null],
  ])('%p is the default limit %p of keys', (RATE_LIMIT, rateLimit) => {
    expect(environment({ RATE_LIMIT }).rateLimit).toEqual(rateLimit);
  });

  it.each([
    '600',
    '0/60s',
    '600/60',
    '600/0s',
    '-1/60s',
    '600/367d',
    '600/60s ',
    'x',
  ])('%p is refused by name', (RATE_LIMIT) => {
    expect(() => environment({ RATE_LIMIT })).toThrow(/^RATE_LIMIT must be requests and a window/);
  });
});
