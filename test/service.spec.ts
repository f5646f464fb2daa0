import type { ApiKeyService } from 'nestjs-api-key';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';

let database: string;
let app: TestApp;
let keys: ApiKeyService;
let userId: string;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  app = await bootApp({ database, options: { prefix: 'acme_live' } });
  keys = app.keys;
});

afterAll(() => app.close());

describe('a created key', () => {
  it('is shown once and stored as its digest', async () => {
    const { key, apiKey } = await keys.create({ userId, name: 'ci', scopes: ['orders:read'] });
    const rows = await sql(
      database,
      `SELECT * FROM api_keys WHERE key_digest = encode(sha256('${key}'), 'hex')`,
    );
    expect(rows).toHaveLength(1);
    expect(JSON.stringify(rows)).not.toContain(key);
    expect(apiKey).toMatchObject({
      userId,
      name: 'ci',
      scopes: ['orders:read'],
      expiresAt: null,
      revokedAt: null,
    });
  });
});
