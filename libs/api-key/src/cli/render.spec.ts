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
      revokedAt: null,
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
    expect(renderKey(none)).toMatch(/^expiresAt {3}invalid$/m);
  });

  it('is a sentence if there are no keys', () => {
    expect(renderTable([])).toBe('No keys.');
  });
});

describe('the text of one key', () => {
  it('has one line for each field', () => {
    expect(renderKey(described()).split('\n')).toEqual([
      'id          7',
      'userId      42',
      'name        ci',
      'masked      acme_live_3fKd...9xQz',
      'scopes      orders:read, orders:write',
      'state       active',
      'environment -',
      'createdAt   2029-01-01T00:00:00.000Z',
      'lastUsedAt  2029-12-31T23:59:58.765Z',
      'expiresAt   2030-06-01T12:30:45.000Z',
      'revokedAt   -',
      'rateLimit   {"limit":100,"windowSeconds":60}',
      'quota       -',
      'allowedIps  10.0.0.0/8',
      'metadata    {"team":"a"}',
      'replaces    6',
      'ancestorIds 5, 6',
    ]);
  });

  it('has a dash for each missing value', () => {
    const lines = renderKey(described({ scopes: [], lastUsedAt: null, expiresAt: null })).split('\n');
    expect(lines.filter((line) => line.endsWith('  -'))).toEqual([
      'scopes      -',
      'lastUsedAt  -',
      'expiresAt   -',
      'revokedAt   -',
      'quota       -',
    ]);
  });

  it('prints its times in UTC', () => {
    expect(renderKey(described({ expiresAt: new Date('2030-06-01T00:00:00+05:30') }))).toContain(
      'expiresAt   2030-05-31T18:30:00.000Z',
    );
  });
});

it('control characters in a name do not reach the terminal', () => {
  const apiKey = Object.assign(new ApiKey(), {
    id: '1',
    userId: '1',
    name: 'a\n2  9  admin\u001b[2J',
    keyPrefix: 'abcdefgh',
    keySuffix: null,
    scopes: [],
    lastUsedAt: null,
    expiresAt: null,
    revokedAt: null,
    createdAt: new Date(0),
  });
  const described = describeKey(apiKey, new Date(0));
  expect(renderTable([described]).split('\n')).toHaveLength(2);
  expect(renderTable([described]) + renderKey(described)).not.toContain('\u001b');
});
