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

it.each([
  ['PORT', 'x', 'PORT must be a number'],
  ['HTTP_ADAPTER', 'koa', 'HTTP_ADAPTER must be express or fastify'],
  ['API_KEY_FORMAT', 'uuid', 'API_KEY_FORMAT must be checksummed or hex'],
  ['TRUST_PROXY', 'true', 'TRUST_PROXY must be a list of addresses or CIDR blocks'],
  ['TRUST_PROXY', '1', 'TRUST_PROXY must be a list of addresses or CIDR blocks'],
])('%s of the sample is refused as %s', (name, value, sentence) => {
  expect(() => environment({ [name]: value })).toThrow(sentence);
});
