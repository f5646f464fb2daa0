import { type ApiKeyOptions, resolveOptions } from './api-key.options';

/** Options from JavaScript or a configuration file, which the compiler does not check. */
const unchecked = (options: object) => options as ApiKeyOptions;

function messageFor(options: object): string {
  try {
    resolveOptions(unchecked(options));
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('These options were accepted');
}

const SECTIONS = {
  https: 'trustProxy, allowInsecureHttpFrom, allowInsecureHttp, onPlaintextKey, loopbackException',
  cache: 'size, leaseMs, heartbeatMs, serveCachedForMs, staleForMs, userCacheMs, lookUpTimeoutMs, maxLookUps',
  usage: 'lastUsed, lastUsedIntervalMs, requests, intervalMs',
  audit: 'refused, accepted, changes, queueSize, flushIntervalMs',
  rateLimit:
    'limit, windowSeconds, storage, onStorageFailure, onQuotaFailure, storageTimeoutMs, maxKeys, legacyHeaders',
  failedAttempts: 'limit, windowSeconds, maxAddresses',
  pepper: 'secrets, upcoming, unpeppered, lockOutRails',
  policy: 'maxLifetimeDays, defaultLifetimeDays, allowNever, maxActiveKeys, endUnusedAfterDays',
};

const [CIDRS, FLAG] = ['a list of addresses or CIDR blocks', 'true or false'];
const ms = (min: number, max: number) => `a whole number of milliseconds from ${min} to ${max}`;
const whole = (min: number, max: number) => `a whole number from ${min} to ${max}`;

describe.each(Object.entries(SECTIONS))('the section %s', (section, names) => {
  it.each(['typo', 'toString', 'constructor', 'Size'])('refuses the name %s and lists its own', (name) => {
    expect(messageFor({ [section]: { [name]: 1 } })).toBe(
      `ApiKeyModule: there is no option "${section}.${name}"; the options of ${section} are ${names}`,
    );
  });

  it.each(
    [true, 5, 'x', []].filter((value) => section !== 'usage' || value !== true),
  )('must be an object, not %j', (value) => {
    expect(messageFor({ [section]: value })).toBe(
      `ApiKeyModule: option "${section}" must be an object of ${names}`,
    );
  });
});

it.each([
  'https',
  'cache',
  'usage',
  'audit',
  'rateLimit',
  'failedAttempts',
  'policy',
])('the section %s has its defaults if it is empty, and if its fields are undefined', (section) => {
  const defaults = resolveOptions()[section as 'cache'];
  const nothing = Object.fromEntries(Object.keys(defaults).map((name) => [name, undefined]));
  for (const given of [{}, nothing])
    expect(resolveOptions(unchecked({ [section]: given }))[section as 'cache']).toEqual(defaults);
});

it.each([
  ['https', 'trustProxy', []],
  ['https', 'trustProxy', ['10.0.0.0/8', 'fd00::/8', '::1', '192.0.2.7']],
  ['https', 'allowInsecureHttpFrom', ['172.17.0.0/16']],
  ['https', 'allowInsecureHttp', true],
  ['https', 'onPlaintextKey', 'revoke'],
  ['https', 'loopbackException', false],
  ['cache', 'size', 0],
  ['cache', 'leaseMs', 60_000],
  ['cache', 'serveCachedForMs', 86_400_000],
  ['cache', 'staleForMs', 60_000],
  ['cache', 'userCacheMs', 0],
  ['cache', 'lookUpTimeoutMs', 10],
  ['cache', 'maxLookUps', 1],
  ['usage', 'lastUsed', false],
  ['usage', 'lastUsedIntervalMs', 100],
  ['usage', 'lastUsedIntervalMs', 3_600_000],
  ['usage', 'requests', false],
  ['usage', 'intervalMs', 100],
  ['audit', 'refused', 'off'],
  ['audit', 'queueSize', 1],
  ['rateLimit', 'limit', null],
  ['rateLimit', 'storage', 'postgres'],
  ['failedAttempts', 'limit', null],
  ['policy', 'maxLifetimeDays', 36_500],
  ['policy', 'allowNever', false],
  ['policy', 'endUnusedAfterDays', 1],
])('%s.%s may be %j', (section, name, value) => {
  expect(resolveOptions(unchecked({ [section]: { [name]: value } }))).toHaveProperty([section, name], value);
});

it.each([
  ['https', 'trustProxy', true, CIDRS],
  ['https', 'trustProxy', 1, 'true and a number of hops are not accepted'],
  ['https', 'trustProxy', '10.0.0.0/8', CIDRS],
  ['https', 'trustProxy', ['loopback'], CIDRS],
  ['https', 'trustProxy', ['10.0.0.0/8', '10.0.0.0/33'], CIDRS],
  ['https', 'trustProxy', [null], CIDRS],
  ['https', 'allowInsecureHttpFrom', ['*'], CIDRS],
  ['https', 'allowInsecureHttpFrom', null, CIDRS],
  ['https', 'allowInsecureHttp', 'yes', FLAG],
  ['https', 'onPlaintextKey', 'burn', '"refuse" or "revoke"'],
  ['https', 'loopbackException', 'false', FLAG],
  ['https', 'loopbackException', 0, FLAG],
  ['https', 'loopbackException', null, FLAG],
  ['cache', 'size', -1, whole(0, 10_000_000)],
  ['cache', 'leaseMs', 499, ms(500, 60_000)],
  ['cache', 'heartbeatMs', 49, ms(50, 30_000)],
  ['cache', 'serveCachedForMs', 86_400_001, ms(0, 86_400_000)],
  ['cache', 'staleForMs', 60_001, ms(0, 60_000)],
  ['cache', 'userCacheMs', -1, ms(0, 60_000)],
  ['cache', 'lookUpTimeoutMs', 9, ms(10, 60_000)],
  ['cache', 'maxLookUps', 0, whole(1, 100_000)],
  ['usage', 'lastUsed', 'no', FLAG],
  ['usage', 'lastUsedIntervalMs', 99, ms(100, 3_600_000)],
  ['usage', 'lastUsedIntervalMs', 3_600_001, ms(100, 3_600_000)],
  ['usage', 'lastUsedIntervalMs', 1_000.5, ms(100, 3_600_000)],
  ['usage', 'lastUsedIntervalMs', '1000', ms(100, 3_600_000)],
  ['usage', 'lastUsedIntervalMs', Number.NaN, ms(100, 3_600_000)],
  ['usage', 'lastUsedIntervalMs', Number.POSITIVE_INFINITY, ms(100, 3_600_000)],
  ['usage', 'requests', 1, FLAG],
  ['usage', 'intervalMs', 99, ms(100, 3_600_000)],
  ['audit', 'refused', 'console', '"table", "log", "off" or a sink'],
  ['audit', 'changes', 'table', 'a sink, which is an object with a method record, or null'],
  ['audit', 'queueSize', 0, whole(1, 1_000_000)],
  ['audit', 'flushIntervalMs', 9, ms(10, 3_600_000)],
  ['rateLimit', 'limit', 0, `${whole(1, 1_000_000_000)}, or null`],
  ['rateLimit', 'storage', 'redis', '"memory", "postgres" or a ThrottlerStorage'],
  ['rateLimit', 'onStorageFailure', 'ignore', '"local", "open" or "refuse"'],
  ['failedAttempts', 'limit', 0, `${whole(1, 1_000_000)}, or null`],
  ['failedAttempts', 'windowSeconds', 0.5, whole(1, 86_400)],
  ['failedAttempts', 'maxAddresses', 0, whole(1, 1_000_000)],
  ['policy', 'maxLifetimeDays', 0, `${whole(1, 36_500)}, or null`],
  ['policy', 'defaultLifetimeDays', 1.5, `${whole(1, 36_500)}, or null`],
  ['policy', 'allowNever', null, FLAG],
  ['policy', 'maxActiveKeys', 0, `${whole(1, 1_000_000)}, or null`],
  ['policy', 'endUnusedAfterDays', 36_501, `${whole(1, 36_500)}, or null`],
  ['pepper', 'unpeppered', 'keep', '"adopt" or "refuse"'],
])('%s.%s must not be %j, and the message says what it must be', (section, name, value, wanted) => {
  const message = messageFor({ [section]: { [name]: value } });
  expect(message).toContain(`option "${section}.${name}" must be ${wanted}`.replace(/be true and a.*/, 'be'));
  expect(message).toContain(wanted);
});

describe('old flat names', () => {
  it.each([
    ['trustProxy', [], 'https.trustProxy'],
    ['allowInsecureHttpFrom', [], 'https.allowInsecureHttpFrom'],
    ['allowInsecureHttp', false, 'https.allowInsecureHttp'],
    ['onPlaintextKey', 'refuse', 'https.onPlaintextKey'],
    ['loopbackException', true, 'https.loopbackException'],
    ['cacheSize', 0, 'cache.size'],
    ['leaseMs', 2_000, 'cache.leaseMs'],
    ['heartbeatMs', 500, 'cache.heartbeatMs'],
    ['serveCachedForMs', 0, 'cache.serveCachedForMs'],
    ['staleForMs', 0, 'cache.staleForMs'],
    ['userCacheMs', 0, 'cache.userCacheMs'],
    ['lookUpTimeoutMs', 200, 'cache.lookUpTimeoutMs'],
    ['maxLookUps', 500, 'cache.maxLookUps'],
    ['lastUsed', true, 'usage.lastUsed'],
    ['lastUsedIntervalMs', 100, 'usage.lastUsedIntervalMs'],
    ['usage', true, 'usage.requests'],
    ['usage', false, 'usage.requests'],
    ['usageIntervalMs', 100, 'usage.intervalMs'],
  ])('%s: %j stops the boot, and the message has the new name %s', (name, value, newName) => {
    expect(messageFor({ [name]: value })).toBe(`ApiKeyModule: option "${name}" is now ${newName}`);
  });

  it('stop the boot even if they are undefined', () => {
    expect(messageFor({ leaseMs: undefined })).toBe('ApiKeyModule: option "leaseMs" is now cache.leaseMs');
  });
});

describe('the heartbeat', () => {
  const tooSlow = 'ApiKeyModule: option "cache.heartbeatMs" must be at most half of "cache.leaseMs"';

  it('must be sent twice within a lease, because otherwise one late heartbeat ends the lease', () => {
    expect(messageFor({ cache: { leaseMs: 1_000, heartbeatMs: 501 } })).toBe(tooSlow);
    expect(resolveOptions({ cache: { leaseMs: 1_000, heartbeatMs: 500 } }).cache.heartbeatMs).toBe(500);
  });

  it.each([
    { leaseMs: 999 },
    { heartbeatMs: 1_001 },
  ])('is compared with the default of the other: %j', (cache) => {
    expect(messageFor({ cache })).toBe(tooSlow);
  });

  it('is compared even if another option is wrong', () => {
    expect(messageFor({ prefix: '-', cache: { leaseMs: 999, size: -1 } })).toMatch(
      /"prefix".*"cache.size".*"cache.heartbeatMs" must be at most half/,
    );
  });

  it('is not compared with an invalid lease', () => {
    expect(messageFor({ cache: { leaseMs: 'x' } })).not.toContain('heartbeatMs');
  });
});

describe('the policy', () => {
  it.each([
    [
      { policy: { maxLifetimeDays: 30, defaultLifetimeDays: 31 } },
      '"policy.defaultLifetimeDays" must be at most',
    ],
    [{ policy: { maxLifetimeDays: 30, allowNever: true } }, '"policy.allowNever" cannot be true'],
    [{ policy: { endUnusedAfterDays: 90 }, usage: { lastUsed: false } }, 'needs "usage.lastUsed"'],
  ])('must not contradict itself: %j', (options, wanted) => {
    expect(messageFor(options)).toContain(wanted);
  });

  it.each([
    [{}, true],
    [{ maxLifetimeDays: 90 }, false],
    [{ allowNever: false }, false],
    [{ maxLifetimeDays: null }, true],
  ])('%j allows keys that never expire: %s', (policy, allowNever) => {
    expect(resolveOptions({ policy }).policy.allowNever).toBe(allowNever);
  });
});

it('users are cached as long as the lease, unless userCacheMs says otherwise', () => {
  expect(resolveOptions({ cache: { leaseMs: 5_000 } }).cache.userCacheMs).toBe(5_000);
  expect(resolveOptions({ cache: { leaseMs: 5_000, userCacheMs: 7 } }).cache.userCacheMs).toBe(7);
});
