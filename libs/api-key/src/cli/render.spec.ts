import { ApiKey, describeKey } from '../index';
import { renderKey, renderTable } from './render';

const NOW = new Date('2030-01-01T00:00:00Z');

const apiKeyWith = (fields: Partial<ApiKey> = {}): ApiKey =>
  Object.assign(new ApiKey(), {
    id: '7',
    userId: '42',
    name: 'ci',
    keyPrefix: 'acme_live_3fKd',
    keySuffix: '9xQz',
    scopes: ['orders:read', 'orders:write'],
    lastUsedAt: new Date('2029-12-31T23:59:58.765Z'),
    expiresAt: new Date('2030-06-01T12:30:45Z'),
    revokedAt: null,
    disabledAt: null,
    createdAt: new Date('2029-01-01T00:00:00Z'),
    updatedAt: new Date('2029-01-01T00:00:00Z'),
    rateLimit: 100,
    rateLimitWindowSeconds: 60,
    allowedIps: ['10.0.0.0/8'],
    metadata: { team: 'a' },
    replacesId: '6',
    ancestorIds: ['5', '6'],
    ...fields,
  });

const described = (fields: Partial<ApiKey> = {}) => describeKey(apiKeyWith(fields), NOW);

describe('the description of a key', () => {
  it('contains the public fields', () => {
    expect(described()).toEqual({
      id: '7',
      userId: '42',
      name: 'ci',
      masked: 'acme_live_3fKd...9xQz',
      scopes: ['orders:read', 'orders:write'],
      state: 'active',
      environment: null,
      createdAt: new Date('2029-01-01T00:00:00Z'),
      lastUsedAt: new Date('2029-12-31T23:59:58.765Z'),
      expiresAt: new Date('2030-06-01T12:30:45Z'),
      endsUnusedAt: null,
      revokedAt: null,
      disabledAt: null,
      rateLimit: { limit: 100, windowSeconds: 60 },
      quota: null,
      allowedIps: ['10.0.0.0/8'],
      metadata: { team: 'a' },
      replaces: '6',
      ancestorIds: ['5', '6'],
    });
  });

  it('never contains the digest, even if the row was read with its digest', () => {
    const digest = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    const key = described({ keyDigest: digest });
    expect(JSON.stringify(key) + renderKey(key) + renderTable([key])).not.toContain(digest);
  });

  it.each([
    ['active', 'it has no expiry', { expiresAt: null }],
    ['active', 'its expiry is to come', { expiresAt: new Date(NOW.getTime() + 1) }],
    ['expired', 'its expiry is now', { expiresAt: NOW }],
    ['expired', 'its expiry is past', { expiresAt: new Date(0) }],
    ['disabled', 'it is disabled', { disabledAt: NOW }],
    ['disabled', 'it is disabled and has expired', { disabledAt: NOW, expiresAt: NOW }],
    ['revoked', 'it is disabled and was revoked', { disabledAt: NOW, revokedAt: NOW }],
    ['revoked', 'it was revoked', { revokedAt: NOW }],
    ['revoked', 'it was revoked and has expired', { revokedAt: NOW, expiresAt: NOW }],
    ['revoked', 'it was revoked and never expires', { revokedAt: NOW, expiresAt: null }],
  ])('has the state %s if %s', (state, _, fields) => {
    expect(described(fields).state).toBe(state);
  });
});

describe('a table of keys', () => {
  it('has one line for the head and one line for each key, in aligned columns', () => {
    const keys = [
      described(),
      described({
        id: '123456',
        name: 'deploy of staging',
        keyPrefix: '604eae8c',
        keySuffix: null,
        scopes: [],
        lastUsedAt: null,
        expiresAt: null,
      }),
    ];
    expect(renderTable(keys).split('\n')).toEqual([
      'ID      USER  NAME               KEY                    STATE   SCOPES                    EXPIRES            LAST USED',
      '7       42    ci                 acme_live_3fKd...9xQz  active  orders:read,orders:write  2030-06-01 12:30Z  2029-12-31 23:59Z',
      '123456  42    deploy of staging  604eae8c...            active  -                         never              never',
    ]);
  });

  it('has no spaces at the ends of its lines', () => {
    const lines = renderTable([described({ lastUsedAt: null }), described()]).split('\n');
    expect(lines).toEqual(lines.map((line) => line.trimEnd()));
  });

  it('prints years after 9999 in full', () => {
    const expiresAt = new Date('+012345-06-07T08:09:10.111Z');
    expect(renderTable([described({ expiresAt })])).toContain('  +012345-06-07 08:09Z  ');
  });

  it('prints "invalid" for a date that JavaScript cannot represent', () => {
    const none = described({ expiresAt: new Date(Number.NaN), lastUsedAt: new Date(Number.NaN) });
    expect(renderTable([none])).toMatch(/ {2}invalid {2,}invalid$/);
    expect(renderKey(none)).toMatch(/^expiresAt {5}invalid$/m);
  });

  it('is a sentence if there are no keys', () => {
    expect(renderTable([])).toBe('No keys.');
  });
});

describe('the text of one key', () => {
  it('has one line for each field', () => {
    expect(renderKey(described()).split('\n')).toEqual([
      'id            7',
      'userId        42',
      'name          ci',
      'masked        acme_live_3fKd...9xQz',
      'scopes        orders:read, orders:write',
      'state         active',
      'environment   -',
      'createdAt     2029-01-01T00:00:00.000Z',
      'lastUsedAt    2029-12-31T23:59:58.765Z',
      'expiresAt     2030-06-01T12:30:45.000Z',
      'endsUnusedAt  never',
      'revokedAt     -',
      'disabledAt    -',
      'rateLimit     {"limit":100,"windowSeconds":60}',
      'quota         none',
      'allowedIps    10.0.0.0/8',
      'metadata      {"team":"a"}',
      'replaces      6',
      'ancestorIds   5, 6',
    ]);
  });

  it('says what each missing value means, or has a dash', () => {
    const empty = { scopes: [], lastUsedAt: null, expiresAt: null, rateLimit: null, allowedIps: null };
    const lines = renderKey(described({ ...empty, replacesId: null, ancestorIds: [] })).split('\n');
    expect(lines.filter((line) => / {2}(?:-|[a-z]+)$/.test(line)).slice(1)).toEqual([
      'scopes        -',
      'state         active',
      'environment   -',
      'lastUsedAt    never',
      'expiresAt     never',
      'endsUnusedAt  never',
      'revokedAt     -',
      'disabledAt    -',
      'rateLimit     default',
      'quota         none',
      'allowedIps    everywhere',
      'replaces      -',
      'ancestorIds   -',
    ]);
  });

  it('prints its times in UTC', () => {
    expect(renderKey(described({ expiresAt: new Date('2030-06-01T00:00:00+05:30') }))).toContain(
      'expiresAt     2030-05-31T18:30:00.000Z',
    );
  });
});

it.each([
  ['\n2  9  admin\u001b[2J', '\\u000a2  9  admin\\u001b[2J'],
  ['\u009b2K\u2028\u202enimda', '\\u009b2K\\u2028\\u202enimda'],
])('control and format characters in any text of a key do not reach the terminal: %j', (text, shown) => {
  const key = described({
    name: text,
    scopes: [text as never],
    userId: text,
    keyPrefix: text,
    keySuffix: null,
    allowedIps: [text],
    metadata: { [text]: text },
  });
  expect(renderTable([key]).split('\n')).toHaveLength(2);
  expect(renderKey(key).split('\n')).toHaveLength(Object.keys(key).length);
  for (const output of [renderTable([key]), renderKey(key)]) {
    expect(output.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(output).toContain(`  ${shown}`);
  }
});

it('a name with control characters leaves the columns of a table aligned', () => {
  const lines = renderTable([described({ name: 'a\u202eb' }), described({ name: 'c' })]).split('\n');
  expect(new Set(lines.map((line) => line.search(/KEY|acme/)))).toEqual(new Set([20]));
});
