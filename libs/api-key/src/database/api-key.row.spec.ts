import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser } from '../../../../test/support/database';
import { API_KEY_COLUMNS, apiKeyFromRow } from './api-key.row';
import { Database } from './database';
import { tablesOf } from './tables';

const AT = new Date('2030-01-02T03:04:05.678Z');

let database: string;
let dataSource: DataSource;

beforeAll(async () => {
  database = await createMigratedDatabase();
  dataSource = await keysDataSource(database);
});
afterAll(() => dataSource.destroy());

async function inserted(fields: Record<string, unknown>) {
  const row = {
    user_id: await createUser(database),
    name: 'ci',
    key_digest: Object.keys(fields).join(),
    key_prefix: 'p',
    ...fields,
  };
  const returned = await new Database(dataSource).transaction((session) =>
    session.row(
      `INSERT INTO api_keys (${Object.keys(row)}) VALUES (${Object.keys(row).map((_, i) => `$${i + 1}`)}) RETURNING ${API_KEY_COLUMNS}`,
      Object.values(row),
    ),
  );
  return { row, apiKey: apiKeyFromRow(returned, () => {}) };
}

it('a key has the values of its row, with ids as text', async () => {
  const { row, apiKey } = await inserted({
    key_suffix: 's',
    scopes: ['a', 'b:*'],
    last_used_at: AT,
    expires_at: AT,
    revoked_at: AT,
    disabled_at: AT,
    disabled_by_id: 8,
    enabled_expires_at: AT,
    rate_limit: 1,
    rate_limit_window_seconds: 2,
    quota: 3,
    quota_period: 'day',
    allowed_ips: ['10.0.0.0/8'],
    metadata: { a: 1 },
    replaces_id: 7,
    ancestor_ids: [5, 7],
    shared_limits: JSON.stringify([{ id: '5', rateLimit: null, quota: { limit: 1, period: 'day' } }]),
    bucket_id: 5,
    created_at: AT,
    updated_at: AT,
  });
  expect(apiKey).toEqual({
    id: expect.stringMatching(/^\d+$/),
    userId: row.user_id,
    name: 'ci',
    keyPrefix: 'p',
    keySuffix: 's',
    scopes: ['a', 'b:*'],
    lastUsedAt: AT,
    expiresAt: AT,
    revokedAt: AT,
    disabledAt: AT,
    disabledById: '8',
    enabledExpiresAt: AT,
    rateLimit: 1,
    rateLimitWindowSeconds: 2,
    quota: 3,
    quotaPeriod: 'day',
    allowedIps: ['10.0.0.0/8'],
    metadata: { a: 1 },
    replacesId: '7',
    ancestorIds: ['5', '7'],
    sharedLimits: [{ id: '5', rateLimit: null, quota: { limit: 1, period: 'day' } }],
    bucketId: '5',
    createdAt: AT,
    updatedAt: AT,
  });
});

it('a missing value of a row is null, and missing scopes are an empty list', async () => {
  const { apiKey } = await inserted({ scopes: null });
  expect(apiKey).toMatchObject({
    keySuffix: null,
    scopes: [],
    lastUsedAt: null,
    expiresAt: null,
    revokedAt: null,
    disabledAt: null,
    disabledById: null,
    enabledExpiresAt: null,
    rateLimit: null,
    quota: null,
    allowedIps: null,
    metadata: {},
    replacesId: null,
    ancestorIds: [],
    sharedLimits: null,
    bucketId: null,
  });
});

it.each([
  ['what it gets back', { expires_at: '2029-01-01T00:00:00Z', enabled_expires_at: AT }, AT],
  [
    'no expiry, if it gets that back',
    { expires_at: '2029-01-01T00:00:00Z', enabled_expires_at: 'infinity' },
    null,
  ],
  [
    'its expiry before it was disabled',
    { expires_at: '2028-01-01T00:00:00Z', enabled_expires_at: '2028-01-01T00:00:00Z' },
    new Date('2028-01-01'),
  ],
  [
    'what Rails wrote meanwhile',
    { expires_at: '2031-01-01T00:00:00Z', enabled_expires_at: AT },
    new Date('2031-01-01'),
  ],
  ['what Rails wrote, if that is no expiry', { expires_at: null, enabled_expires_at: AT }, null],
  [
    'that of its column, if nothing was saved',
    { expires_at: '2029-01-01T00:00:00Z', enabled_expires_at: null },
    new Date('2029-01-01'),
  ],
])('the expiry of a disabled key is %s', async (_, fields, expected) => {
  const { apiKey } = await inserted({
    disabled_at: '2029-01-01T00:00:00.7Z',
    key_digest: JSON.stringify(fields),
    ...fields,
  });
  expect(apiKey.expiresAt).toEqual(expected);
});

it('a time outside the range of Date is the latest or the earliest date, and an infinite expiry is null', async () => {
  const { apiKey } = await inserted({
    created_at: 'infinity',
    last_used_at: '-infinity',
    revoked_at: 'infinity',
    expires_at: 'infinity',
  });
  expect([apiKey.createdAt.getTime(), apiKey.lastUsedAt?.getTime(), apiKey.revokedAt?.getTime()]).toEqual([
    8.64e15, -8.64e15, 8.64e15,
  ]);
  expect(apiKey.expiresAt).toBeNull();
});

it('all tables of the library are in the schema of the data source, or else of its first connection', async () => {
  expect(Object.values(tablesOf(dataSource)).slice(2)).toEqual([
    '"public"."api_keys"',
    '"public"."api_key_events"',
    '"public"."api_key_trust"',
    '"public"."api_key_silent_changes"',
    '"public"."api_key_quotas"',
    '"public"."api_key_windows"',
    '"public"."api_key_usage"',
  ]);
  const tenant = await keysDataSource(database, { schema: 'api_keys"1' });
  expect(tablesOf(tenant).beside('x')).toBe('"api_keys""1"."x"');
  await tenant.destroy();
});
