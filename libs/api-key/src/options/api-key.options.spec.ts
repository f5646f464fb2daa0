import { inspect } from 'node:util';
import { type ApiKeyOptions, resolveOptions } from './api-key.options';

/**
 * Options as a JavaScript caller or a configuration file may give them, unchecked by the compiler.
 */
const unchecked = (options: object) => options as ApiKeyOptions;

function messageFor(options: object): string {
  try {
    resolveOptions(unchecked(options));
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('These options were accepted');
}

describe('options that are not given', () => {
  it('have safe defaults', () => {
    const { loadUser, ...others } = resolveOptions();
    expect(others).toEqual({
      prefix: 'key',
      acceptedPrefixes: [],
      hexEnvironment: null,
      format: 'checksummed',
      scopes: null,
      pepper: null,
      strict: false,
      realm: 'api',
      headerName: 'X-API-Key',
      https: {
        trustProxy: [],
        allowInsecureHttpFrom: [],
        allowInsecureHttp: false,
        onPlaintextKey: 'refuse',
        loopbackException: true,
      },
      cache: {
        size: 10_000,
        leaseMs: 2_000,
        heartbeatMs: 500,
        serveCachedForMs: 0,
        staleForMs: 0,
        userCacheMs: 2_000,
        lookUpTimeoutMs: 200,
        maxLookUps: 500,
      },
      usage: { lastUsed: true, lastUsedIntervalMs: 10_000, requests: true, intervalMs: 60_000 },
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
      failedAttempts: { limit: 100, windowSeconds: 60, maxAddresses: 10_000 },
      policy: {
        maxLifetimeDays: null,
        defaultLifetimeDays: null,
        allowNever: true,
        maxActiveKeys: null,
        endUnusedAfterDays: null,
      },
    });
    expect(loadUser('42')).toEqual({ id: '42' });
  });

  it('have defaults one by one, and given options keep their value', () => {
    const options = resolveOptions({ prefix: 'acme_live', https: { loopbackException: false } });
    expect(options).toMatchObject({ prefix: 'acme_live', realm: 'api' });
    expect(options.https).toMatchObject({ loopbackException: false, onPlaintextKey: 'refuse' });
    expect(options.usage).toMatchObject({ lastUsedIntervalMs: 10_000 });
  });

  it('may also be given as undefined', () => {
    const nothing = Object.fromEntries(Object.keys(resolveOptions()).map((name) => [name, undefined]));
    const { loadUser, ...others } = resolveOptions(nothing);
    expect(others).toEqual({ ...resolveOptions(), loadUser: undefined });
  });
});

describe('the resolved options', () => {
  it('are deeply frozen', () => {
    const options = resolveOptions(
      unchecked({ scopes: { 'orders:read': 'Read orders' }, https: { trustProxy: ['10.0.0.1'] } }),
    );
    const { https, cache, usage, audit, rateLimit, failedAttempts, scopes } = options;
    const lists = [https.trustProxy, https.allowInsecureHttpFrom];
    for (const part of [options, https, cache, usage, audit, rateLimit, failedAttempts, scopes, ...lists])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('are deeply frozen, including the defaults', () => {
    const { https } = resolveOptions();
    expect([https, https.trustProxy, https.allowInsecureHttpFrom].map(Object.isFrozen)).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('do not change if the caller changes the given object', () => {
    const scopes: Record<string, string> = { 'orders:read': 'Read orders' };
    const trustProxy = ['10.0.0.1'];
    const given = { prefix: 'acme', scopes, https: { trustProxy }, cache: { size: 1 } };
    const options = resolveOptions(unchecked(given));
    scopes['orders:write'] = 'Create orders';
    trustProxy.push('0.0.0.0/0');
    given.prefix = 'other';
    given.cache.size = 2;
    expect(options).toMatchObject({ prefix: 'acme', cache: { size: 1 } });
    expect(options.https.trustProxy).toEqual(['10.0.0.1']);
    expect(Object.keys(options.scopes ?? {})).toEqual(['orders:read']);
  });

  it('do not freeze objects of the caller', () => {
    const sink = { record: async () => {} };
    const given = unchecked({
      scopes: { 'orders:read': 'Read orders' },
      https: { trustProxy: ['10.0.0.1'] },
      audit: { changes: sink },
    });
    resolveOptions(given);
    const parts = [given, given.scopes, given.https, given.https?.trustProxy, given.audit, sink];
    expect(parts.map(Object.isFrozen)).toEqual(parts.map(() => false));
  });

  it('do not contain the data source', () => {
    expect(resolveOptions(unchecked({ dataSource: 'keys' }))).not.toHaveProperty('dataSource');
  });
});

describe('the options accept', () => {
  it.each([
    ['prefix', 'a'],
    ['prefix', 'my_company_live'],
    ['prefix', { live: 'acme_live', test: 'acme_test' }],
    ['acceptedPrefixes', ['acme', 'old_live']],
    ['acceptedPrefixes', []],
    ['hexEnvironment', null],
    ['format', 'checksummed'],
    ['format', 'hex'],
    ['scopes', {}],
    ['scopes', { 'orders:read': 'Read orders', orders: '' }],
    ['scopes', null],
    ['realm', 'Orders API (v2)'],
    ['headerName', 'x-service-token'],
    ['headerName', "!#$%&'*+-.^_`|~0189azAZ"],
  ])('%s: %j', (name, value) => {
    expect(resolveOptions(unchecked({ [name]: value }))).toHaveProperty(name, value);
  });
});

describe('the boot fails with the name of the option for', () => {
  it.each([
    ['prefix', '', 'letters and digits'],
    ['prefix', 'acme-live', 'letters and digits'],
    ['prefix', 'acme__live', 'letters and digits'],
    ['prefix', 'a'.repeat(33), '1 to 32'],
    ['prefix', null, 'letters and digits'],
    ['prefix', 7, 'letters and digits'],
    ['prefix', ['acme'], 'letters and digits'],
    ['prefix', {}, 'an object of environments'],
    ['prefix', { live: 'acme-live' }, 'an object of environments'],
    ['prefix', { '': 'acme' }, 'an object of environments'],
    ['prefix', { 'a b': 'acme' }, 'an object of environments'],
    ['acceptedPrefixes', 'acme', 'a list of prefixes'],
    ['acceptedPrefixes', ['acme', '-'], 'a list of prefixes'],
    ['acceptedPrefixes', { live: 'acme' }, 'a list of prefixes'],
    ['acceptedPrefixes', null, 'a list of prefixes'],
    ['hexEnvironment', '', 'an environment'],
    ['hexEnvironment', 7, 'an environment'],
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
    ['strict', 'yes', 'true, false or "scopes"'],
  ])('%s: %j', (name, value, wanted) => {
    const message = messageFor({ [name]: value });
    expect(message).toContain(`option "${name}" must be `);
    expect(message).toContain(wanted);
  });

  it.each([
    [{ acceptedPrefixes: { live: ['acme'] } }, '"prefix" has no environment "live"'],
    [{ hexEnvironment: 'live' }, 'option "hexEnvironment": "prefix" has no environment "live"'],
    [{ prefix: { live: 'acme' }, acceptedPrefixes: { test: ['old'] } }, '"prefix" has no environment "test"'],
    [{ prefix: { live: 'acme' }, hexEnvironment: 'test' }, '"prefix" has no environment "test"'],
    [{ prefix: { live: 'acme', test: 'acme' } }, 'must name each prefix only once'],
    [{ prefix: 'acme', acceptedPrefixes: ['acme'] }, 'must name each prefix only once'],
    [{ prefix: { live: 'acme' }, acceptedPrefixes: { live: ['acme'] } }, 'must name each prefix only once'],
    [{ acceptedPrefixes: ['key'] }, 'must name each prefix only once'],
    [{ prefix: { live: 'acme' }, hexEnvironment: 'live' }, 'option "hexEnvironment" needs option "format"'],
  ])('prefixes that do not fit together: %j', (given, wanted) => {
    expect(messageFor(given)).toContain(wanted);
  });

  it.each([
    'peppers',
    'Prefix',
    'toString',
    'constructor',
    'hasOwnProperty',
  ])('the unknown option %s, with a list of the known options', (name) => {
    const message = messageFor({ [name]: 'x' });
    expect(message).toContain(`there is no option "${name}"`);
    expect(message).toContain('prefix, format, scopes, loadUser');
  });

  it('every wrong option at once', () => {
    const wrong = {
      prefix: '-',
      realm: '"',
      typo: 1,
      format: 'hex',
      leaseMs: 1,
      cache: { size: -1, sise: 1 },
    };
    const message = messageFor(wrong);
    expect(message).toMatch(
      /^ApiKeyModule: .*"prefix".*; .*"realm".*; .*"typo".*; .*"leaseMs" is now cache.leaseMs; .*"cache.size".*; .*"cache.sise"/,
    );
    expect(message).not.toContain('"format"');
  });

  it('a wrong value without repeating it, because it may be a secret', () => {
    const secret = 'hunter2 hunter2';
    const names = Object.keys(resolveOptions());
    const fields = Object.keys(resolveOptions().https);
    const https = Object.fromEntries(fields.map((name) => [name, secret]));
    for (const options of [Object.fromEntries(names.map((name) => [name, secret])), { https }])
      expect(messageFor(options)).not.toContain('hunter2');
    const inside = { scopes: { [secret]: secret }, https: { trustProxy: [secret] }, leaseMs: secret };
    expect(messageFor(inside)).not.toContain('hunter2');
  });
});

describe('a value that only resembles the right type is refused:', () => {
  it.each<[string, object, RegExp]>([
    ['a catalogue that is a Map', { scopes: new Map() }, /option "scopes" must be an object of scopes/],
    [
      'a list of proxies with a hole',
      { https: { trustProxy: new Array(1) } },
      /option "https.trustProxy" must be a list/,
    ],
    ['a section that is a Map', { cache: new Map() }, /option "cache" must be an object of size, leaseMs/],
  ])('%s', (_, options, message) => {
    expect(messageFor(options)).toMatch(message);
  });

  it('options that are null', () => {
    expect(() => resolveOptions(null as never)).toThrow('ApiKeyModule: the options must be a plain object');
  });

  it('options of a class, whose inherited getters would be overlooked', () => {
    class Options {
      get strict() {
        return true;
      }
    }
    expect(() => resolveOptions(new Options())).toThrow(/must be a plain object/);
  });
});

describe('a pepper', () => {
  const secret = 'correct horse battery staple, twice';

  it('is not in a log, JSON or copy of the options', () => {
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
      'an empty list together with the refusal of keys without a pepper',
      { secrets: [], upcoming: secret, unpeppered: 'refuse' },
    ],
    ['a secret of less than 32 bytes', { secrets: ['too short'] }],
    ['a secret of more than 1,024 bytes', { secrets: ['x'.repeat(1_025)] }],
    ['a number', { secrets: [1] }],
    ['a hole in the list', { secrets: Object.assign([], { 1: secret }) }],
    ['eleven secrets', { secrets: Array.from({ length: 11 }, (_, i) => `${secret} ${i}`) }],
    ['one secret twice, as text and as bytes', { secrets: [secret, Buffer.from(secret)] }],
    ['a next secret that is already in the list', { secrets: [secret], upcoming: secret }],
    ['an unknown value of unpeppered', { secrets: [secret], unpeppered: 'keep' }],
    ['an unknown field', { secrets: [secret], salt: secret }],
    ['"yes" for true', { secrets: [secret], lockOutRails: 'yes' }],
  ])('%s stops the boot, and is not repeated', (_, pepper) => {
    const message = messageFor({ pepper });
    expect(message).toMatch(/option "pepper(\.\w+)?" must be|there is no option "pepper.salt"/);
    expect(message).not.toContain('horse');
  });
});
