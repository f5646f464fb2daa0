import { inspect } from 'node:util';
import { getMetadataArgsStorage, type ValueTransformer } from 'typeorm';
import { ApiKey, dateOrNull, scopesOrNone } from './api-key.entity';

const EXPIRY = new Date('2030-01-01T00:00:00Z');

const apiKeyWith = (fields: Partial<ApiKey>): ApiKey => Object.assign(new ApiKey(), fields);
const keyExpiringAt = (expiresAt: Date | null): ApiKey => apiKeyWith({ expiresAt });

const columns = getMetadataArgsStorage().columns.filter(({ target }) => target === ApiKey);

function optionsOf(property: keyof ApiKey) {
  const column = columns.find(({ propertyName }) => propertyName === property);
  if (!column) throw new Error(`ApiKey has no column ${property}`);
  return column.options;
}

describe('a key', () => {
  it('has expired from its expiry on, to the millisecond', () => {
    expect(keyExpiringAt(EXPIRY).isExpired(new Date(EXPIRY.getTime() - 1))).toBe(false);
    expect(keyExpiringAt(EXPIRY).isExpired(EXPIRY)).toBe(true);
    expect(keyExpiringAt(EXPIRY).isExpired(new Date(EXPIRY.getTime() + 1))).toBe(true);
  });

  it('never expires if it has no expiry', () => {
    expect(keyExpiringAt(null).isExpired(new Date(8.64e15))).toBe(false);
  });

  it('is checked against the current time if no time is given', () => {
    expect(keyExpiringAt(new Date(0)).isExpired()).toBe(true);
    expect(keyExpiringAt(new Date(8.64e15)).isExpired()).toBe(false);
    expect(keyExpiringAt(null).isExpired()).toBe(false);
  });

  it('has expired if its expiry or the given time is an invalid date', () => {
    const noDate = new Date(Number.NaN);
    expect(keyExpiringAt(noDate).isExpired(EXPIRY)).toBe(true);
    expect(keyExpiringAt(EXPIRY).isExpired(noDate)).toBe(true);
  });

  it('holds a scope itself or through a wildcard, and no other', () => {
    const key = apiKeyWith({ scopes: ['orders:*', 'users:read'] });
    expect(
      ['orders:read', 'users:read', 'orders', 'users:write'].map((scope) => key.hasScope(scope)),
    ).toEqual([true, true, false, false]);
  });

  it('without scopes holds none', () => {
    expect(apiKeyWith({ scopes: [] }).hasScope('orders:read')).toBe(false);
  });

  it('is shown masked', () => {
    expect(apiKeyWith({ keyPrefix: 'acme_live_3fKd', keySuffix: '9xQz' }).masked).toBe(
      'acme_live_3fKd...9xQz',
    );
    expect(apiKeyWith({ keyPrefix: '604eae8c', keySuffix: null }).masked).toBe('604eae8c...');
  });

  it('has no digest in JSON, because the digest is not selected', () => {
    expect(JSON.stringify(apiKeyWith({ id: '1', name: 'ci' }))).toBe('{"id":"1","name":"ci"}');
  });
});

describe('the digest of a key', () => {
  const digest = 'a'.repeat(64);
  const withoutConstructor = () => Object.create(ApiKey.prototype) as ApiKey;

  it.each<[string, () => ApiKey]>([
    ['that was constructed', () => new ApiKey()],
    ['made without its constructor, as entitySkipConstructor of TypeORM does', withoutConstructor],
    ['behind a Proxy', () => new Proxy(new ApiKey(), {})],
    ['that is frozen', () => Object.freeze(new ApiKey()) as ApiKey],
  ])('is readable on a key %s, and only by its name', (_, make) => {
    const apiKey = make();
    expect(apiKey.keyDigest).toBeUndefined();
    apiKey.keyDigest = digest;
    expect(apiKey.keyDigest).toBe(digest);
    const shown = [JSON.stringify(apiKey), inspect(apiKey, { showHidden: true, getters: true, depth: 9 })];
    expect(shown.join() + JSON.stringify({ ...apiKey })).not.toContain(digest);
    apiKey.keyDigest = undefined;
    expect(apiKey.keyDigest).toBeUndefined();
  });

  it('is undefined, without an error, on a Proxy of a key and on the prototype', () => {
    const apiKey = apiKeyWith({ keyDigest: digest });
    expect(new Proxy(apiKey, {}).keyDigest).toBeUndefined();
    expect(ApiKey.prototype.keyDigest).toBeUndefined();
    expect(apiKey.keyDigest).toBe(digest);
  });
});

describe('a time in the table', () => {
  it.each([
    ['NULL', null],
    ['not selected', undefined],
    ['infinity, as the driver gives it', Number.POSITIVE_INFINITY],
    ['infinity, as text', 'infinity'],
  ])('is null if it is %s', (_, value) => {
    expect(dateOrNull(value)).toBeNull();
  });

  it.each([
    ['-infinity, as the driver gives it', Number.NEGATIVE_INFINITY],
    ['-infinity, as text', '-infinity'],
  ])('that is %s becomes the earliest date, so that the key has expired', (_, value) => {
    const date = dateOrNull(value);
    expect(date).toEqual(new Date(-8.64e15));
    expect(keyExpiringAt(date).isExpired(new Date(0))).toBe(true);
  });

  it('that is a Date stays that Date', () => {
    expect(dateOrNull(EXPIRY)).toBe(EXPIRY);
  });

  it.each([
    ['2030-01-01 00:00:00+00', '2030-01-01T00:00:00.000Z'],
    ['2030-01-01 05:30:00+05:30', '2030-01-01T00:00:00.000Z'],
    ['2029-12-31 16:00:00.123456-08', '2030-01-01T00:00:00.123Z'],
    ['2030-01-01T00:00:00.000Z', '2030-01-01T00:00:00.000Z'],
  ])('that is the text %s is that moment', (text, moment) => {
    expect(dateOrNull(text)?.toISOString()).toBe(moment);
  });

  it.each(['', 'soon', 'NaN', {}])('that is %j leaves the key expired', (value) => {
    expect(keyExpiringAt(dateOrNull(value)).isExpired(EXPIRY)).toBe(true);
  });
});

describe('the scopes of a row', () => {
  it.each([
    ['unchanged for a list of text', ['orders:read', '*'], ['orders:read', '*']],
    ['none for {}', [], []],
    ['none for NULL', null, []],
    ['none for {NULL}', [null], []],
    ['without the NULL among them', ['a', null, 'b'], ['a', 'b']],
    ['none if they are not selected', undefined, []],
    ['none for a text', '{orders:read}', []],
    ['none for an object', { 0: '*', length: 1 }, []],
  ])('are %s', (_, value, scopes) => {
    expect(scopesOrNone(value)).toEqual(scopes);
  });
});

describe('the table of keys', () => {
  it('is api_keys, which synchronize does not change because the migrations own it', () => {
    const tables = getMetadataArgsStorage().tables.filter(({ target }) => target === ApiKey);
    expect(tables).toEqual([expect.objectContaining({ name: 'api_keys', synchronize: false })]);
  });

  it('has the columns of the Rails table and the additional columns', () => {
    expect(columns.map(({ propertyName, options }) => options.name ?? propertyName).sort()).toEqual([
      'allowed_ips',
      'ancestor_ids',
      'bucket_id',
      'created_at',
      'disabled_at',
      'disabled_by_id',
      'enabled_expires_at',
      'expires_at',
      'id',
      'key_digest',
      'key_prefix',
      'key_suffix',
      'last_used_at',
      'metadata',
      'name',
      'quota',
      'quota_period',
      'rate_limit',
      'rate_limit_window_seconds',
      'replaces_id',
      'revoked_at',
      'scopes',
      'shared_limits',
      'updated_at',
      'user_id',
    ]);
  });

  it('has the named indexes of the Rails table, and one each for successors, lineage and pages of an owner', () => {
    const indices = getMetadataArgsStorage().indices.filter(({ target }) => target === ApiKey);
    expect(indices.map(({ name, columns: of, unique }) => [name, of, unique ?? false])).toEqual([
      ['index_api_keys_on_user_id', ['userId'], false],
      ['index_api_keys_on_key_digest', ['keyDigest'], true],
      ['index_api_keys_on_key_prefix', ['keyPrefix'], false],
      ['index_api_keys_on_replaces_id', ['replacesId'], true],
      ['index_api_keys_on_ancestor_ids', ['ancestorIds'], false],
      ['index_api_keys_on_user_id_and_id', ['userId', 'id'], false],
    ]);
  });

  it('does not select its digests unless they are selected by name', () => {
    expect(optionsOf('keyDigest').select).toBe(false);
    expect(columns.filter(({ options }) => options.select === false)).toHaveLength(1);
  });

  it.each([
    'lastUsedAt',
    'expiresAt',
    'revokedAt',
    'disabledAt',
    'enabledExpiresAt',
    'createdAt',
    'updatedAt',
  ] as const)('has %s with its time zone', (property) => {
    expect(optionsOf(property).type).toBe('timestamptz');
  });

  it('may have null in columns that a Rails table lacks or that not every key needs', () => {
    const nullable = columns
      .filter(({ options }) => options.nullable)
      .map(({ propertyName }) => propertyName);
    expect(nullable.sort()).toEqual([
      'allowedIps',
      'ancestorIds',
      'bucketId',
      'disabledAt',
      'disabledById',
      'enabledExpiresAt',
      'expiresAt',
      'keySuffix',
      'lastUsedAt',
      'quota',
      'quotaPeriod',
      'rateLimit',
      'rateLimitWindowSeconds',
      'replacesId',
      'revokedAt',
      'scopes',
      'sharedLimits',
    ]);
  });

  it('stores its scopes as a list of text', () => {
    expect(optionsOf('scopes')).toMatchObject({ type: 'text', array: true });
  });

  it('reads an owner as text, for any type of the column', () => {
    const { from, to } = optionsOf('userId').transformer as ValueTransformer;
    expect([from('42'), from(42), from('3f2504e0-4f89-11d3-9a0c-0305e82c3301')]).toEqual([
      '42',
      '42',
      '3f2504e0-4f89-11d3-9a0c-0305e82c3301',
    ]);
    expect(to('42')).toBe('42');
  });

  it.each(['lastUsedAt', 'expiresAt', 'revokedAt'] as const)('reads infinity in %s as null', (property) => {
    const { from, to } = optionsOf(property).transformer as ValueTransformer;
    expect(from(Number.POSITIVE_INFINITY)).toBeNull();
    expect(to(EXPIRY)).toBe(EXPIRY);
  });

  it('reads scopes of NULL and {NULL} as none', () => {
    const { from, to } = optionsOf('scopes').transformer as ValueTransformer;
    expect([from(null), from([null])]).toEqual([[], []]);
    expect(to(['orders:read'])).toEqual(['orders:read']);
  });
});
