import type { RefusalCode } from '../model/api-key.errors';
import { resolveOptions } from '../options/api-key.options';
import type { HttpsOptions } from '../options/https';
import { type ApiKeyRequest, nodeRequest } from './http-exchange';
import { SecureTransport } from './secure-transport';

/**
 * A request as far as the transport looks at it. `listensOn` is what `server.address()` answers.
 */
interface FakeRequest {
  readonly address?: string;
  readonly encrypted?: boolean;
  readonly listensOn?: string | object | null;
  readonly headers?: Readonly<Record<string, string>>;
}

const TCP = { address: '::', family: 'IPv6', port: 3000 };
const LOOPBACK = ['127.0.0.1', '127.0.0.2', '127.255.255.255', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1'];
const REMOTE = ['192.0.2.10', '10.0.0.1', '172.17.0.2', '::ffff:192.0.2.10', '2001:db8::10', 'fe80::1%eth0'];
const PROXY_HEADERS = [
  ['forwarded', 'for=192.0.2.10;proto=https'],
  ['x-forwarded-for', '192.0.2.10'],
  ['x-forwarded-proto', 'https'],
  ['x-forwarded-proto', 'http'],
  ['x-forwarded-host', 'example.com'],
  ['x-forwarded-port', '443'],
  ['x-forwarded-anything-else', ''],
  ['x-real-ip', '192.0.2.10'],
  ['via', '1.1 proxy'],
  ['via', ''],
] as const;

function expressRequest({ address, encrypted, listensOn = TCP, headers = {} }: FakeRequest): ApiKeyRequest {
  const socket = { remoteAddress: address, encrypted, server: { address: () => listensOn } };
  return { socket, headers: { host: 'localhost:3000', ...headers } } as unknown as ApiKeyRequest;
}

/** A request of an adapter without Node's own server. */
const withoutSocket = { headers: { host: 'localhost:3000' } } as unknown as ApiKeyRequest;

function outcomeOf(request: ApiKeyRequest, options: HttpsOptions = {}): 'accepted' | RefusalCode {
  return new SecureTransport(resolveOptions({ https: options })).accepts(nodeRequest(request))
    ? 'accepted'
    : 'HTTPS_REQUIRED';
}

const outcome = (request: FakeRequest, options?: HttpsOptions) => outcomeOf(expressRequest(request), options);

describe('a TLS connection', () => {
  it.each([...REMOTE, ...LOOPBACK])('from %s is accepted', (address) => {
    expect(outcome({ address, encrypted: true })).toBe('accepted');
  });

  it.each(PROXY_HEADERS)('with %s: %s from an untrusted peer is accepted', (name, value) => {
    expect(outcome({ address: '192.0.2.10', encrypted: true, headers: { [name]: value } })).toBe('accepted');
  });

  it('is accepted if plaintext from loopback is refused', () => {
    expect(outcome({ address: '127.0.0.1', encrypted: true }, { loopbackException: false })).toBe('accepted');
  });

  it('is accepted from a trusted proxy without X-Forwarded-Proto', () => {
    expect(outcome({ address: '10.0.0.1', encrypted: true }, { trustProxy: ['10.0.0.1'] })).toBe('accepted');
  });

  it('is refused from a trusted proxy that reports a plaintext client', () => {
    const headers = { 'x-forwarded-proto': 'http' };
    expect(outcome({ address: '10.0.0.1', encrypted: true, headers }, { trustProxy: ['10.0.0.1'] })).toBe(
      'HTTPS_REQUIRED',
    );
  });

  it('without an address is accepted on a unix socket, and refused if it has lost its peer', () => {
    expect(outcome({ encrypted: true, listensOn: '/run/app.sock' })).toBe('accepted');
    expect(outcome({ encrypted: true })).toBe('HTTPS_REQUIRED');
  });

  it.each([
    undefined,
    false,
    'true',
    1,
  ])('is not assumed for a socket whose "encrypted" is %p', (encrypted) => {
    const request = expressRequest({ address: '192.0.2.10', encrypted: encrypted as boolean });
    expect(outcomeOf(request)).toBe('HTTPS_REQUIRED');
  });
});

describe('plaintext from another machine', () => {
  it.each(REMOTE)('%s is refused', (address) => {
    expect(outcome({ address })).toBe('HTTPS_REQUIRED');
  });

  it.each([
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-ssl', 'on'],
    ['x-forwarded-scheme', 'https'],
    ['x-forwarded-for', '127.0.0.1'],
    ['x-real-ip', '127.0.0.1'],
    ['forwarded', 'for=127.0.0.1;proto=https'],
    ['front-end-https', 'on'],
    ['x-url-scheme', 'https'],
    ['upgrade-insecure-requests', '1'],
    ['host', 'localhost'],
    ['origin', 'https://localhost'],
  ])('is refused with any header: %s: %s', (name, value) => {
    expect(outcome({ address: '192.0.2.10', headers: { [name]: value } })).toBe('HTTPS_REQUIRED');
  });

  it.each([
    '126.255.255.255',
    '128.0.0.1',
    '::2',
    '::ffff:128.0.0.1',
    '::127.0.0.1',
    '0.0.0.0',
    '::',
  ])('from %s, an address near loopback, is refused', (address) => {
    expect(outcome({ address })).toBe('HTTPS_REQUIRED');
  });

  it('is refused also if the server listens on a unix socket, because it has an address', () => {
    expect(outcome({ address: '192.0.2.10', listensOn: '/run/api.sock' })).toBe('HTTPS_REQUIRED');
  });
});

describe('plaintext from loopback', () => {
  it.each(LOOPBACK)('%s is accepted if no proxy header is present', (address) => {
    expect(outcome({ address })).toBe('accepted');
    expect(outcome({ address, headers: { accept: '*/*', 'user-agent': 'curl', 'x-api-key': 'k' } })).toBe(
      'accepted',
    );
  });

  describe.each(LOOPBACK)('%s', (address) => {
    it.each(
      PROXY_HEADERS,
    )('is refused with %s: %s, because a proxy on this machine also connects from loopback', (name, value) => {
      expect(outcome({ address, headers: { [name]: value } })).toBe('HTTPS_REQUIRED');
    });

    it('is refused if loopbackException is false', () => {
      expect(outcome({ address }, { loopbackException: false })).toBe('HTTPS_REQUIRED');
    });
  });

  it.each([
    'x-forwarded',
    'x-real-ips',
    'viaduct',
    'x-via',
    'not-forwarded',
  ])('is accepted with %s, which only resembles a proxy header', (name) => {
    expect(outcome({ address: '127.0.0.1', headers: { [name]: 'x' } })).toBe('accepted');
  });
});

describe('plaintext through our own unix socket', () => {
  const listensOn = '/run/api.sock';

  it.each([
    listensOn,
    '\0abstract',
    '\\\\.\\pipe\\api',
  ])('%j is accepted if no proxy header is present', (path) => {
    expect(outcome({ listensOn: path })).toBe('accepted');
  });

  it.each(PROXY_HEADERS)('is refused with %s: %s', (name, value) => {
    expect(outcome({ listensOn, headers: { [name]: value } })).toBe('HTTPS_REQUIRED');
  });

  it('is refused if loopbackException is false', () => {
    expect(outcome({ listensOn }, { loopbackException: false })).toBe('HTTPS_REQUIRED');
  });

  it('does not make its peer a trusted proxy, because a unix socket has no address for the list', () => {
    const headers = { 'x-forwarded-proto': 'https' };
    expect(outcome({ listensOn, headers }, { trustProxy: ['0.0.0.0/0', '::/0'] })).toBe('HTTPS_REQUIRED');
  });
});

describe('plaintext from an unknown address', () => {
  const EVERYONE = { trustProxy: ['0.0.0.0/0', '::/0'], allowInsecureHttpFrom: ['0.0.0.0/0', '::/0'] };

  it.each([
    ['a server on TCP', TCP],
    ['a server that is closed', null],
  ])('is refused on %s', (_, listensOn) => {
    expect(outcome({ listensOn })).toBe('HTTPS_REQUIRED');
    expect(outcome({ listensOn }, EVERYONE)).toBe('HTTPS_REQUIRED');
    expect(outcome({ listensOn, headers: { 'x-forwarded-proto': 'https' } }, EVERYONE)).toBe(
      'HTTPS_REQUIRED',
    );
  });

  it('is refused on a socket without a server', () => {
    const request = { socket: {}, headers: {} } as unknown as ApiKeyRequest;
    expect(outcomeOf(request)).toBe('HTTPS_REQUIRED');
    expect(outcomeOf(request, EVERYONE)).toBe('HTTPS_REQUIRED');
  });

  it.each([
    '',
    'unknown',
    'localhost',
    '127.0.0.1:80',
  ])('from %j is refused, because it is not an address', (address) => {
    expect(outcome({ address }, EVERYONE)).toBe('HTTPS_REQUIRED');
  });
});

describe('allowInsecureHttpFrom', () => {
  const options = { allowInsecureHttpFrom: ['172.17.0.0/16', 'fd00::/8'] };

  it.each([
    '172.17.0.2',
    '::ffff:172.17.0.2',
    'fd12::1',
    'fd12::1%eth0',
  ])('accepts plaintext from %s', (address) => {
    expect(outcome({ address }, options)).toBe('accepted');
  });

  it.each([
    '172.18.0.1',
    '::ffff:172.18.0.1',
    'fe80::1',
    '192.0.2.10',
  ])('does not accept plaintext from %s', (address) => {
    expect(outcome({ address }, options)).toBe('HTTPS_REQUIRED');
  });

  it('accepts a listed loopback address if loopbackException is false', () => {
    const named = { allowInsecureHttpFrom: ['127.0.0.1'], loopbackException: false };
    expect(outcome({ address: '127.0.0.1' }, named)).toBe('accepted');
    expect(outcome({ address: '::ffff:127.0.0.1' }, named)).toBe('accepted');
    expect(outcome({ address: '127.0.0.2' }, named)).toBe('HTTPS_REQUIRED');
  });

  it('does not change the loopback exception', () => {
    expect(outcome({ address: '127.0.0.1' }, options)).toBe('accepted');
    expect(outcome({ address: '127.0.0.1' }, { ...options, loopbackException: false })).toBe(
      'HTTPS_REQUIRED',
    );
  });

  it('does not make its peers trusted proxies: their X-Forwarded-Proto is ignored', () => {
    const headers = { 'x-forwarded-proto': 'https' };
    const other = { ...options, trustProxy: ['10.0.0.1'] };
    expect(outcome({ address: '192.0.2.10', headers }, other)).toBe('HTTPS_REQUIRED');
  });
});

describe('from a proxy in trustProxy', () => {
  const options = { trustProxy: ['10.0.0.0/8', '127.0.0.1', 'fd00::/8'] };
  const PROXIES = ['10.0.0.1', '::ffff:10.0.0.1', '127.0.0.1', '::ffff:127.0.0.1', 'fd00::1', 'fd00::1%eth0'];
  const from = (address: string, proto: string) =>
    outcome(
      { address, headers: { 'x-forwarded-for': '192.0.2.10', 'x-forwarded-proto': proto, via: '1.1 proxy' } },
      options,
    );

  it.each(PROXIES)('%s, X-Forwarded-Proto: https is accepted', (address) => {
    expect(from(address, 'https')).toBe('accepted');
  });

  describe.each([
    'HTTPS',
    'Https',
    'https, http',
    'https,http',
    'https, https',
    'https,https',
    'http, https',
    'http,https',
    'https,',
    ',https',
    'https;',
    '"https"',
    ' https',
    'https ',
    'https://',
    'httpss',
    'http',
    'wss',
    'on',
    '1',
    'true',
    '',
    ' ',
  ])('X-Forwarded-Proto: %j', (proto) => {
    it.each(PROXIES)('is refused at %s', (address) => {
      expect(from(address, proto)).toBe('HTTPS_REQUIRED');
    });
  });

  it.each(['10.0.0.1', 'fd00::1'])('%s, plaintext without X-Forwarded-Proto is refused', (address) => {
    expect(outcome({ address }, options)).toBe('HTTPS_REQUIRED');
    expect(outcome({ address, headers: { 'x-forwarded-for': '192.0.2.10' } }, options)).toBe(
      'HTTPS_REQUIRED',
    );
  });

  it.each([
    ['forwarded', 'proto=https'],
    ['x-forwarded-ssl', 'on'],
    ['x-forwarded-scheme', 'https'],
    ['x-forwarded-protocol', 'https'],
  ])('%s: %s is refused, because it is not X-Forwarded-Proto', (name, value) => {
    expect(outcome({ address: '10.0.0.1', headers: { [name]: value } }, options)).toBe('HTTPS_REQUIRED');
  });

  it('on this machine, X-Forwarded-Proto: https is accepted without the loopback exception', () => {
    const headers = { 'x-forwarded-proto': 'https' };
    expect(outcome({ address: '127.0.0.1', headers }, { ...options, loopbackException: false })).toBe(
      'accepted',
    );
  });

  it('and in allowInsecureHttpFrom, X-Forwarded-Proto: http is still refused', () => {
    const both = { ...options, allowInsecureHttpFrom: ['10.0.0.0/8'] };
    expect(outcome({ address: '10.0.0.1', headers: { 'x-forwarded-proto': 'http' } }, both)).toBe(
      'HTTPS_REQUIRED',
    );
  });
});

describe('from a peer outside trustProxy', () => {
  it.each([
    '192.0.2.10',
    '11.0.0.1',
    '::ffff:11.0.0.1',
    '127.0.0.1',
    '::1',
    'fe00::1',
  ])('%s, X-Forwarded-Proto: https is refused', (address) => {
    const headers = { 'x-forwarded-proto': 'https' };
    expect(outcome({ address, headers }, { trustProxy: ['10.0.0.0/8', 'fd00::/8'] })).toBe('HTTPS_REQUIRED');
  });

  it('X-Forwarded-For does not give it the address of a trusted proxy', () => {
    const headers = { 'x-forwarded-for': '10.0.0.1', 'x-forwarded-proto': 'https' };
    expect(outcome({ address: '192.0.2.10', headers }, { trustProxy: ['10.0.0.0/8'] })).toBe(
      'HTTPS_REQUIRED',
    );
  });
});

describe('a request of Fastify', () => {
  it('is checked by the Node request that it wraps, and not by its own properties', () => {
    const raw = expressRequest({ address: '192.0.2.10' });
    const wrapped = { raw, protocol: 'https', ip: '127.0.0.1', headers: {}, socket: { encrypted: true } };
    expect(outcomeOf(wrapped as unknown as ApiKeyRequest)).toBe('HTTPS_REQUIRED');
    expect(outcomeOf({ raw: expressRequest({ address: '127.0.0.1' }) } as ApiKeyRequest)).toBe('accepted');
  });
});

describe('a request of Express', () => {
  it('is checked by its socket, and not by values of "trust proxy"', () => {
    const request = Object.assign(expressRequest({ address: '192.0.2.10' }), {
      secure: true,
      protocol: 'https',
      ip: '::1',
    });
    expect(outcomeOf(request)).toBe('HTTPS_REQUIRED');
  });
});

describe('allowInsecureHttp', () => {
  it.each([
    ...REMOTE,
    ...LOOPBACK,
    undefined,
  ])('accepts plaintext from %s, whatever headers a proxy sends', (address) => {
    const options = { allowInsecureHttp: true, loopbackException: false };
    for (const [name, value] of PROXY_HEADERS)
      expect(outcome({ address, headers: { [name]: value } }, options)).toBe('accepted');
  });
});

describe('the refusal reports whether plaintext is proven', () => {
  const isSure = (request: FakeRequest, options: HttpsOptions) =>
    new SecureTransport(resolveOptions({ https: options })).isSurelyPlaintext(
      nodeRequest(expressRequest(request)),
    );
  const proxied: HttpsOptions = { trustProxy: ['192.0.2.10'] };

  it.each<[boolean, string, FakeRequest, HttpsOptions]>([
    [true, 'from another machine without proxy headers', { address: '192.0.2.10' }, {}],
    [false, 'from a trusted proxy without X-Forwarded-Proto', { address: '192.0.2.10' }, proxied],
    [false, 'from this machine', { address: '127.0.0.1' }, { loopbackException: false }],
    [false, 'from this machine by IPv6', { address: '::1' }, { loopbackException: false }],
    [
      false,
      'from this machine as an IPv4-mapped IPv6 address',
      { address: '::ffff:127.0.0.1' },
      { loopbackException: false },
    ],
    [
      true,
      'if a trusted proxy reports plaintext',
      { address: '192.0.2.10', headers: { 'x-forwarded-proto': 'http' } },
      proxied,
    ],
    [false, 'by TLS', { address: '192.0.2.10', encrypted: true }, {}],
    [false, 'from a socket without address', {}, {}],
    [
      false,
      'if an untrusted proxy reports plaintext',
      { address: '192.0.2.11', headers: { 'x-forwarded-proto': 'http' } },
      proxied,
    ],
    [
      false,
      'if a trusted proxy sends two values',
      { address: '192.0.2.10', headers: { 'x-forwarded-proto': 'http, https' } },
      proxied,
    ],
    [
      false,
      'if a trusted proxy sends an unknown value',
      { address: '192.0.2.10', headers: { 'x-forwarded-proto': 'HTTP' } },
      proxied,
    ],
    [
      false,
      'if a proxy does not send X-Forwarded-Proto',
      { address: '192.0.2.10', headers: { via: '1.1 proxy' } },
      proxied,
    ],
  ])('%s: %s', (sure, _, request, options) => {
    expect(isSure(request, options)).toBe(sure);
  });
});

it('a request without a socket is refused, unless all plaintext is accepted', () => {
  expect(outcomeOf(withoutSocket)).toBe('HTTPS_REQUIRED');
  expect(outcomeOf(withoutSocket, { allowInsecureHttp: true })).toBe('accepted');
});
