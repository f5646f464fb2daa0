import { inspect } from 'node:util';
import { type ApiKeyOptions, resolveOptions } from './api-key.options';

/** Options as a JavaScript caller or a configuration file may give them, unchecked by the compiler. */
const unchecked = (options: object) => options as ApiKeyOptions;

function messageFor(options: object): string {
  try {
    resolveOptions(unchecked(options));
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('These options were accepted');
}

describe('options that are left out', () => {
  it('take their defaults, all of them safe', () => {
    const { loadUser, ...others } = resolveOptions();
    expect(others).toEqual({
      prefix: 'key',
      format: 'checksummed',
      scopes: null,
      pepper: null,
      strict: false,
      realm: 'api',
      failedAttempts: { limit: 100, windowSeconds: 60, maxAddresses: 10_000 },
      headerName: 'X-API-Key',
      trustProxy: [],
      allowInsecureHttpFrom: [],
      allowInsecureHttp: false,
      onPlaintextKey: 'refuse',
      loopbackException: true,
      audit: { refused: 'table', accepted: 'log', changes: null, queueSize: 1_000, flushIntervalMs: 1_000 },
      rateLimit: {
        limit: null,
        windowSeconds: 60,
        storage: null,
        onStorageFailure: 'local',
        onQuotaFailure: 'refuse',
        storageTimeoutMs: 100,
        maxKeys: 100_000,
        legacyHeaders: false,
      },
      lastUsed: true,
      lastUsedIntervalMs: 10_000,
      usage: true,
      usageIntervalMs: 60_000,
      cacheSize: 10_000,
      leaseMs: 2_000,
      heartbeatMs: 500,
      serveCachedForMs: 0,
      staleForMs: 0,
      userCacheMs: 2_000,
      lookUpTimeoutMs: 200,
      maxLookUps: 500,
    });
    expect(loadUser('42')).toEqual({ id: '42' });
  });

  it('take their defaults one by one: those that are given keep their value', () => {
    const options = resolveOptions({ prefix: 'acme_live', loopbackException: false });
    expect(options).toMatchObject({ prefix: 'acme_live', loopbackException: false });
    expect(options).toMatchObject({ realm: 'api', lastUsedIntervalMs: 10_000 });
  });

  it('may also be undefined', () => {
    const names = ['prefix', 'format', 'scopes', 'loadUser', 'realm', 'headerName', 'trustProxy'];
    const nothing = Object.fromEntries(names.map((name) => [name, undefined]));
    expect(Object.keys(resolveOptions(nothing)).sort()).toEqual(Object.keys(resolveOptions()).sort());
    expect(resolveOptions(nothing)).toMatchObject({ prefix: 'key', scopes: null, trustProxy: [] });
  });
});

describe('the options that are resolved', () => {
  it('are frozen, with all that they hold', () => {
    const options = resolveOptions(
      unchecked({ scopes: { 'orders:read': 'Read orders' }, trustProxy: ['10.0.0.1'] }),
    );
    for (const part of [options, options.scopes, options.trustProxy, options.allowInsecureHttpFrom]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
  });

  it('do not change when the caller changes what was given', () => {
    const scopes: Record<string, string> = { 'orders:read': 'Read orders' };
    const trustProxy = ['10.0.0.1'];
    const given = { prefix: 'acme', scopes, trustProxy };
    const options = resolveOptions(unchecked(given));
    scopes['orders:write'] = 'Create orders';
    trustProxy.push('0.0.0.0/0');
    given.prefix = 'other';
    expect(options).toMatchObject({
      prefix: 'acme',
      scopes: { 'orders:read': 'Read orders' },
      trustProxy: ['10.0.0.1'],
    });
    expect(Object.keys(options.scopes ?? {})).toEqual(['orders:read']);
  });

  it('do not freeze what belongs to the caller', () => {
    const given = unchecked({ scopes: { 'orders:read': 'Read orders' }, trustProxy: ['10.0.0.1'] });
    resolveOptions(given);
    expect([given, given.scopes, given.trustProxy].map(Object.isFrozen)).toEqual([false, false, false]);
  });

  it('do not hold the data source, which is wired elsewhere', () => {
    expect(resolveOptions(unchecked({ dataSource: 'keys' }))).not.toHaveProperty('dataSource');
  });
});

describe('accepted is', () => {
  it.each([
    ['prefix', 'a'],
    ['prefix', 'my_company_live'],
    ['format', 'checksummed'],
    ['format', 'hex'],
    ['scopes', {}],
    ['scopes', { 'orders:read': 'Read orders', orders: '' }],
    ['scopes', null],
    ['realm', 'Orders API (v2)'],
    ['headerName', 'x-service-token'],
    ['headerName', "!#$%&'*+-.^_`|~0189azAZ"],
    ['trustProxy', []],
    ['trustProxy', ['10.0.0.0/8', 'fd00::/8', '::1', '192.0.2.7']],
    ['allowInsecureHttpFrom', ['172.17.0.0/16']],
    ['loopbackException', false],
    ['lastUsedIntervalMs', 100],
    ['lastUsedIntervalMs', 3_600_000],
  ])('%s: %j', (name, value) => {
    expect(resolveOptions(unchecked({ [name]: value }))).toHaveProperty(name, value);
  });
});

describe('the boot fails, naming the option, for', () => {
  it.each([
    ['prefix', '', 'letters and digits'],
    ['prefix', 'acme-live', 'letters and digits'],
    ['prefix', 'acme__live', 'letters and digits'],
    ['prefix', 'a'.repeat(33), '1 to 32'],
    ['prefix', null, 'letters and digits'],
    ['prefix', 7, 'letters and digits'],
    ['prefix', ['acme'], 'letters and digits'],
    ['format', 'HEX', '"checksummed" or "hex"'],
    ['format', 'rails', '"checksummed" or "hex"'],
    ['format', true, '"checksummed" or "hex"'],
    ['scopes', ['orders:read'], 'an object of scopes'],
    ['scopes', 'orders:read', 'an object of scopes'],
    ['scopes', { 'orders read': 'Read orders' }, 'an object of scopes'],
    ['scopes', { '': 'Nothing' }, 'an object of scopes'],
    ['scopes', { 'orders:*': 'All of orders' }, 'without wildcards'],
    ['scopes', { '*': 'All' }, 'without wildcards'],
    ['scopes', { 'orders:read': true }, 'an object of scopes'],
    ['scopes', { 'orders:read': null }, 'an object of scopes'],
    ['loadUser', null, 'a function'],
    ['loadUser', 'findUser', 'a function'],
    ['loadUser', {}, 'a function'],
    ['realm', '', 'printable ASCII'],
    ['realm', 'the "best" API', 'printable ASCII'],
    ['realm', 'back\\slash', 'printable ASCII'],
    ['realm', 'api\r\nSet-Cookie: a=b', 'printable ASCII'],
    ['realm', 'café', 'printable ASCII'],
    ['realm', 'a'.repeat(256), 'printable ASCII'],
    ['realm', 5, 'printable ASCII'],
    ['headerName', '', 'the name of an HTTP header'],
    ['headerName', 'X API Key', 'the name of an HTTP header'],
    ['headerName', 'X-API-Key:', 'the name of an HTTP header'],
    ['headerName', 'X-Clé', 'the name of an HTTP header'],
    ['headerName', 'Authorization', 'other than Authorization'],
    ['headerName', 'authorization', 'other than Authorization'],
    ['headerName', null, 'the name of an HTTP header'],
    ['trustProxy', true, 'true and a number of hops are not accepted'],
    ['trustProxy', 1, 'true and a number of hops are not accepted'],
    ['trustProxy', '10.0.0.0/8', 'a list of addresses or CIDR blocks'],
    ['trustProxy', ['loopback'], 'a list of addresses or CIDR blocks'],
    ['trustProxy', ['10.0.0.0/8', '10.0.0.0/33'], 'a list of addresses or CIDR blocks'],
    ['trustProxy', [null], 'a list of addresses or CIDR blocks'],
    ['allowInsecureHttpFrom', true, 'a list of addresses or CIDR blocks'],
    ['allowInsecureHttpFrom', ['*'], 'a list of addresses or CIDR blocks'],
    ['allowInsecureHttpFrom', null, 'a list of addresses or CIDR blocks'],
    ['loopbackException', 'false', 'true or false'],
    ['loopbackException', 0, 'true or false'],
    ['loopbackException', null, 'true or false'],
    ['rateLimit', 5, '{ limit } from 1 to 1000000000 or null'],
    ['rateLimit', { limit: 0 }, '{ limit } from 1 to 1000000000 or null'],
    ['rateLimit', { storage: 'redis' }, 'or a ThrottlerStorage'],
    ['rateLimit', { onStorageFailure: 'ignore' }, '"local", "open" or "refuse"'],
    ['rateLimit', { typo: 1 }, '{ limit } from 1 to 1000000000 or null'],
    ['failedAttempts', false, '{ limit } from 1 to 1000000 or null'],
    ['failedAttempts', { limit: 0 }, '{ limit } from 1 to 1000000 or null'],
    ['failedAttempts', { windowSeconds: 0.5 }, '{ windowSeconds } from 1 to 86400'],
    ['failedAttempts', { maxAddresses: 0 }, '{ maxAddresses } from 1 to 1000000'],
    ['strict', 'yes', 'true, false or "scopes"'],
    ['allowInsecureHttp', 'yes', 'true or false'],
    ['onPlaintextKey', 'burn', '"refuse" or "revoke"'],
    ['usage', 1, 'true or false'],
    ['usageIntervalMs', 99, 'from 100 to 3600000'],
    ['lastUsedIntervalMs', 99, 'from 100 to 3600000'],
    ['lastUsedIntervalMs', 3_600_001, 'from 100 to 3600000'],
    ['lastUsedIntervalMs', 1_000.5, 'a whole number of milliseconds'],
    ['lastUsedIntervalMs', '1000', 'a whole number of milliseconds'],
    ['lastUsedIntervalMs', Number.NaN, 'a whole number of milliseconds'],
    ['lastUsedIntervalMs', Number.POSITIVE_INFINITY, 'a whole number of milliseconds'],
  ])('%s: %j', (name, value, wanted) => {
    const message = messageFor({ [name]: value });
    expect(message).toContain(`option "${name}" must be `);
    expect(message).toContain(wanted);
  });

  it.each([
    'peppers',
    'Prefix',
    'toString',
    'constructor',
    'hasOwnProperty',
  ])('%s, which is no option, and tells which there are', (name) => {
    const message = messageFor({ [name]: 'x' });
    expect(message).toContain(`there is no option "${name}"`);
    expect(message).toContain('prefix, format, scopes, pepper, loadUser');
  });

  it('every wrong option at once', () => {
    const message = messageFor({ prefix: '-', realm: '"', typo: 1, format: 'hex' });
    expect(message).toMatch(/^ApiKeyModule: .*"prefix".*; .*"realm".*; .*"typo"/);
    expect(message).not.toContain('"format"');
  });

  it('a wrong value without repeating it, for it may be a secret in the wrong place', () => {
    const secret = 'hunter2 hunter2';
    const names = ['prefix', 'format', 'scopes', 'loadUser', 'headerName', 'trustProxy', 'loopbackException'];
    expect(messageFor(Object.fromEntries(names.map((name) => [name, secret])))).not.toContain('hunter2');
    expect(messageFor({ scopes: { [secret]: secret }, trustProxy: [secret] })).not.toContain('hunter2');
  });
});

it('a heartbeat must come twice within a lease, or one that is late would end it', () => {
  expect(messageFor({ leaseMs: 1_000, heartbeatMs: 501 })).toBe(
    'ApiKeyModule: option "heartbeatMs" must be at most half of "leaseMs"',
  );
  expect(resolveOptions({ leaseMs: 1_000, heartbeatMs: 500 })).toMatchObject({ heartbeatMs: 500 });
});

describe('what only looks like the right kind of thing is refused', () => {
  it.each<[string, object, RegExp]>([
    ['a catalogue that is a Map', { scopes: new Map() }, /option "scopes" must be an object of scopes/],
    ['a list of proxies with a hole', { trustProxy: new Array(1) }, /option "trustProxy" must be a list/],
  ])('%s', (_, options, message) => {
    expect(messageFor(options)).toMatch(message);
  });

  it('options that are null', () => {
    expect(() => resolveOptions(null as never)).toThrow('ApiKeyModule: the options must be a plain object');
  });

  it('options of a class, whose inherited getters would be overlooked', () => {
    class Options {
      get loopbackException() {
        return false;
      }
    }
    expect(() => resolveOptions(new Options())).toThrow(/must be a plain object/);
  });
});

describe('a pepper', () => {
  const secret = 'correct horse battery staple, twice';

  it('is in no log, JSON or copy of the options', () => {
    const options = resolveOptions({ pepper: { secrets: [secret], upcoming: Buffer.from(`${secret}!`) } });
    const copies = [options, { ...options.pepper }, Object.entries(options.pepper ?? {})];
    for (const each of copies) {
      for (const text of [inspect(each, { depth: null, showHidden: true }), JSON.stringify(each)]) {
        expect(text).not.toContain('horse');
        expect(text).not.toContain(Buffer.from(secret).toString('hex').slice(0, 10));
      }
    }
  });

  it.each<[string, unknown]>([
    ['text instead of a list', secret],
    ['no secrets', {}],
    ['an empty list alone', { secrets: [] }],
    [
      'an empty list, and a refusal of all that is stored without one',
      { secrets: [], upcoming: secret, unpeppered: 'refuse' },
    ],
    ['a secret of less than 32 bytes', { secrets: ['too short'] }],
    ['a secret of more than 1,024 bytes', { secrets: ['x'.repeat(1_025)] }],
    ['a number', { secrets: [1] }],
    ['a hole in the list', { secrets: Object.assign([], { 1: secret }) }],
    ['eleven secrets', { secrets: Array.from({ length: 11 }, (_, i) => `${secret} ${i}`) }],
    ['one secret twice, as text and as bytes', { secrets: [secret, Buffer.from(secret)] }],
    ['one that comes next and is there already', { secrets: [secret], upcoming: secret }],
    ['a word that is none', { secrets: [secret], unpeppered: 'keep' }],
    ['a field that is none', { secrets: [secret], salt: secret }],
    ['"yes" for true', { secrets: [secret], lockOutRails: 'yes' }],
  ])('%s stops the boot, and is not repeated', (_, pepper) => {
    const message = messageFor({ pepper });
    expect(message).toContain('option "pepper" must be');
    expect(message).not.toContain('horse');
  });
});
