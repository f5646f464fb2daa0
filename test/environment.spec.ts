import { environment } from '../src/environment';
import { listenError } from '../src/start-errors';

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
  ['DATABASE_URL', 'mysql://127.0.0.1/app', 'DATABASE_URL must begin with postgres:// or postgresql://'],
  ['DATABASE_URL', 'app', 'DATABASE_URL must begin with postgres:// or postgresql://'],
  ['HTTP_ADAPTER', 'koa', 'HTTP_ADAPTER must be express or fastify'],
  ['API_KEY_FORMAT', 'uuid', 'API_KEY_FORMAT must be checksummed or hex'],
  ['TRUST_PROXY', 'true', 'TRUST_PROXY must be a list of addresses or CIDR blocks'],
  ['TRUST_PROXY', '1', 'TRUST_PROXY must be a list of addresses or CIDR blocks'],
])('%s of the sample is refused as %s', (name, value, sentence) => {
  expect(() => environment({ [name]: value })).toThrow(sentence);
});

it.each([
  ['EADDRINUSE', '127.0.0.1:80 is in use: set PORT to another port, or end the other process.'],
  ['EACCES', '127.0.0.1:80 needs the rights of root: set PORT to 1024 or higher.'],
  ['EADDRNOTAVAIL', '127.0.0.1:80 is not an address of this machine: set HOST to one of its addresses.'],
])('an address that the sample cannot use (%s) names the variable to change', (code, sentence) => {
  const error = Object.assign(new Error(`listen ${code}`), { code });
  expect(listenError(error, { host: '127.0.0.1', port: 80 }).message).toBe(sentence);
});

it('another error of the start stays as it is', () => {
  const error = new Error('listen EMFILE');
  expect(listenError(error, { host: '127.0.0.1', port: 80 })).toBe(error);
});
