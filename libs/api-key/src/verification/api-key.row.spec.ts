import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser } from '../../../../test/support/database';
import {
  API_KEY_COLUMNS,
  type ApiKeyRow,
  apiKeyFromRow,
  apiKeyTable,
  eventTable,
  quotaTable,
  trustTable,
  usageTable,
} from './api-key.row';

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
  const [returned] = await dataSource.query<[ApiKeyRow]>(
    `INSERT INTO api_keys (${Object.keys(row)}) VALUES (${Object.keys(row).map((_, i) => `$${i + 1}`)}) RETURNING ${API_KEY_COLUMNS}`,
    Object.values(row),
  );
  return { row, apiKey: apiKeyFromRow(returned) };
}

it('a key is what its row says, ids as text', async () => {
  const { row, apiKey } = await inserted({
    key_suffix: 's',
    scopes: ['a', 'b:*'],
    last_used_at: AT,
    expires_at: AT,
    revoked_at: AT,
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

it('what a row does not say is null, and no scopes are none', async () => {
  const { apiKey } = await inserted({ scopes: null });
  expect(apiKey).toMatchObject({
    keySuffix: null,
    scopes: [],
    lastUsedAt: null,
    expiresAt: null,
    revokedAt: null,
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

it('times beyond any date are invalid dates', async () => {
  const { apiKey } = await inserted({ created_at: 'infinity', updated_at: 'infinity' });
  expect([apiKey.createdAt.getTime(), apiKey.updatedAt.getTime()]).toEqual([Number.NaN, Number.NaN]);
});

const NAMES = { apiKeyTable, eventTable, trustTable, quotaTable, usageTable };
const namesOf = (of: DataSource) => Object.values(NAMES).map((name) => name(of));

it('all that is ours stands beside the table of keys, in the schema of the data source where it names one', async () => {
  expect(namesOf(dataSource)).toEqual([
    '"api_keys"',
    '"api_key_events"',
    '"api_key_trust"',
    '"api_key_quotas"',
    '"api_key_usage"',
  ]);
  const tenant = await keysDataSource(database, { schema: 'api_keys"1' });
  expect(namesOf(tenant)).toEqual(namesOf(dataSource).map((name) => `"api_keys""1".${name}`));
  await tenant.destroy();
});
