import { Controller, Get } from '@nestjs/common';
import { ApiKeyAuth, apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { Client, type PoolClient } from 'pg';
import { keysDataSource } from '../../support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import {
  bootOn,
  type Ground,
  ONE_CONNECTION,
  poolOf,
  statusOf,
  UNCACHED,
  untilCached,
} from '../../support/ground';
import { until } from '../../support/until';

@Controller()
@ApiKeyAuth()
class Routes {
  @Get()
  get() {
    return 'in';
  }
}

let database: string;
let userId: string;
let ground: Ground;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
});

/** Runs statements on the one connection of the pool, and gives it back as they leave it. */
async function leave(...statements: string[]): Promise<void> {
  const client = await poolOf(ground.dataSource).connect();
  for (const statement of statements) await client.query(statement);
  client.release();
}

/** Gives the connection back while statements that nobody waits for are still to run on it. */
async function leaveRunning(...statements: string[]): Promise<void> {
  const client = await poolOf(ground.dataSource).connect();
  for (const statement of statements) void client.query(statement).catch(() => {});
  client.release();
}

/** Leaves a transaction that an error has ended, and nobody rolled back. */
async function leaveAborted(): Promise<void> {
  const client = await poolOf(ground.dataSource).connect();
  await client.query('BEGIN');
  await client.query('SELECT 1/0').catch(() => {});
  client.release();
}

const create = (name = 'ci') => ground.keys.create({ userId, name });
const accepts = async (key: string) => (await ground.keys.verify(key)).ok;

describe('a pooled connection', () => {
  beforeAll(async () => {
    ground = await bootOn(database, { typeorm: ONE_CONNECTION, options: UNCACHED });
  });
  beforeEach(async () => {
    const client: PoolClient = await poolOf(ground.dataSource).connect();
    client.release(true);
  });
  afterAll(() => ground.close());

  it('refuses a key that only a temporary table of an application knows', async () => {
    const { key, apiKey } = await create();
    await leave('CREATE TEMP TABLE api_keys AS SELECT * FROM public.api_keys');
    await sql(database, 'DELETE FROM api_keys WHERE id = $1', [apiKey.id]);
    expect(await accepts(key)).toBe(false);
  });

  it('ends a revoked key permanently even if a temporary table of an application has its name', async () => {
    const { key, apiKey } = await create();
    await leave('CREATE TEMP TABLE api_keys AS SELECT * FROM public.api_keys');
    await ground.keys.revoke(apiKey.id);
    await leave('DROP TABLE pg_temp.api_keys');
    expect(await accepts(key)).toBe(false);
  });

  it('revokes a key permanently even if an application left a transaction open on it', async () => {
    const { key, apiKey } = await create();
    await leave('BEGIN', 'SELECT 1');
    await ground.keys.revoke(apiKey.id);
    await leave('ROLLBACK');
    expect(await accepts(key)).toBe(false);
  });

  it('creates a key permanently even if an application left a transaction open on it', async () => {
    await leave('BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT 1');
    const { key } = await create();
    await leave('ROLLBACK');
    expect(await accepts(key)).toBe(true);
  });

  it('shows a key as revoked even if an application left an old snapshot open on it', async () => {
    const { apiKey } = await create();
    await leave('BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT FROM api_keys');
    await sql(database, 'UPDATE api_keys SET revoked_at = now() WHERE id = $1', [apiKey.id]);
    expect((await ground.keys.get(apiKey.id))?.revokedAt).toBeInstanceOf(Date);
  });

  it('lists, changes and revokes keys even if an application left an aborted transaction on it', async () => {
    const { apiKey } = await create();
    await leaveAborted();
    expect(await ground.keys.get(apiKey.id)).toMatchObject({ id: apiKey.id });
    await leaveAborted();
    expect(await ground.keys.update(apiKey.id, { name: 'new' })).toMatchObject({ name: 'new' });
    await leaveAborted();
    expect(await ground.keys.revoke(apiKey.id)).not.toBeNull();
  });

  it('refuses a revoked key even if an application is still to begin a transaction with an old snapshot on it', async () => {
    const { key, apiKey } = await create();
    const lock = `nestjs_api_key_test_${apiKey.id}`;
    const other = new Client({ connectionString: database });
    await other.connect();
    await other.query('SELECT pg_advisory_lock(hashtext($1))', [lock]);
    await leaveRunning(
      'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM api_keys',
      `SELECT pg_advisory_xact_lock(hashtext('${lock}'))`,
    );
    await until(async () => (await sql(database, 'SELECT FROM pg_locks WHERE NOT granted')).length > 0);
    await sql(database, 'UPDATE api_keys SET revoked_at = now() WHERE id = $1', [apiKey.id]);
    const verifying = ground.keys.verify(key);
    await other.end();
    expect(await verifying).toMatchObject({ ok: false });
  });

  it.each([
    ['begin a transaction', 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1'],
    ['fail in a transaction', 'BEGIN; SELECT 1/0'],
  ])('revokes a key permanently even if an application is still to %s on it', async (_, statements) => {
    const { key, apiKey } = await create();
    await leaveRunning(statements);
    await ground.keys.revoke(apiKey.id);
    await leave('ROLLBACK');
    expect(await accepts(key)).toBe(false);
  });

  it('authenticates though an application is still to fail in a transaction on it', async () => {
    const { key } = await create();
    await leaveRunning('BEGIN; SELECT 1/0');
    expect(await ground.keys.verify(key)).toMatchObject({ ok: true });
  });

  it('authenticates even if an application left a role on it that cannot read any table', async () => {
    const role = new URL(database).pathname.slice(1);
    const { key, apiKey } = await create();
    await sql(database, `CREATE ROLE "${role}"`);
    try {
      await leave(`SET ROLE "${role}"`);
      expect(await accepts(key)).toBe(true);
      await leave(`SET ROLE "${role}"`);
      expect(await ground.keys.revoke(apiKey.id)).not.toBeNull();
    } finally {
      await leave('RESET ROLE');
      await sql(database, `DROP ROLE "${role}"`);
    }
  });

  it('revokes a key even if it is read-only after a failover', async () => {
    const { key, apiKey } = await create();
    await leave('SET default_transaction_read_only = on');
    await ground.keys.revoke(apiKey.id);
    expect(await accepts(key)).toBe(false);
  });

  it.each(['DISCARD ALL', 'DEALLOCATE ALL'])('authenticates after %s', async (statement) => {
    const { key } = await create();
    expect(await accepts(key)).toBe(true);
    await leave(statement);
    expect(await accepts(key)).toBe(true);
    await leave(statement);
    expect(await accepts(key)).toBe(true);
  });

  it('stores a name unchanged even if an application set another encoding on it', async () => {
    await leave("SET client_encoding TO 'LATIN1'");
    const { apiKey } = await create('Schlüssel');
    await leave('RESET client_encoding');
    const [row] = await sql(database, 'SELECT name FROM api_keys WHERE id = $1', [apiKey.id]);
    expect([apiKey.name, row?.name]).toEqual(['Schlüssel', 'Schlüssel']);
  });
});

describe('a limit that PostgreSQL counts', () => {
  beforeAll(async () => {
    ground = await bootOn(database, {
      typeorm: ONE_CONNECTION,
      controllers: [Routes],
      options: { rateLimit: { storage: 'postgres', storageTimeoutMs: 10_000 } },
    });
    await untilCached(ground);
  });
  afterAll(() => ground.close());

  const twoAnHour = () =>
    ground.keys.create({ userId, name: 'ci', rateLimit: { limit: 2, windowSeconds: 3_600 } });

  it.each([
    ['rate limit', { rateLimit: { limit: 2, windowSeconds: 3_600 } }],
    ['quota', { quota: { limit: 2, period: 'day' } }],
  ] as const)('a limit holds as a %s even if an application left a transaction open that is rolled back later', async (_, limit) => {
    const { key } = await ground.keys.create({ userId, name: 'ci', ...limit });
    await ground.keys.verify(key);
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      await leave('BEGIN', 'SELECT 1');
      statuses.push(await statusOf(ground.url, key));
      await leave('ROLLBACK');
    }
    expect(statuses).toEqual([200, 200, 429, 429]);
  });

  it.each([
    ['rate limit', { rateLimit: { limit: 2, windowSeconds: 3_600 } }],
    ['quota', { quota: { limit: 2, period: 'day' } }],
  ] as const)('a limit holds as a %s even if an application is still to begin a transaction that is rolled back later', async (_, limit) => {
    const { key } = await ground.keys.create({ userId, name: 'ci', ...limit });
    await ground.keys.verify(key);
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      await leaveRunning('BEGIN', 'SELECT 1');
      statuses.push(await statusOf(ground.url, key));
      await leave('ROLLBACK');
    }
    expect(statuses).toEqual([200, 200, 429, 429]);
  });

  it.each(['DISCARD ALL', 'DEALLOCATE ALL'])('a limit holds after %s', async (statement) => {
    const { key } = await twoAnHour();
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      statuses.push(await statusOf(ground.url, key));
      await leave(statement);
    }
    expect(statuses).toEqual([200, 200, 429, 429]);
  });
});

describe.each([
  'read committed',
  'repeatable read',
])('a limit that PostgreSQL counts in sessions whose default is %s', (isolation) => {
  beforeAll(async () => {
    const options = `-c default_transaction_isolation=${isolation.replace(' ', '\\ ')}`;
    ground = await bootOn(database, {
      typeorm: { extra: { max: 1, options } },
      controllers: [Routes],
      options: { rateLimit: { storage: 'postgres', storageTimeoutMs: 10_000, onStorageFailure: 'refuse' } },
    });
    await untilCached(ground);
  });
  afterAll(() => ground.close());

  it.each([
    ['fail in a transaction', 'BEGIN; SELECT 1/0'],
    ['begin a transaction', 'BEGIN; SELECT 1'],
  ])('is counted by PostgreSQL though an application is still to %s', async (_, statements) => {
    const rateLimit = { limit: 2, windowSeconds: 3_600 };
    const { key } = await ground.keys.create({ userId, name: 'ci', rateLimit });
    await ground.keys.verify(key);
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) {
      await leaveRunning(statements);
      statuses.push(await statusOf(ground.url, key));
      await leave('ROLLBACK');
    }
    expect(statuses).toEqual([200, 200, 429]);
  });
});

/** A database with the tables of keys in `public` and in a schema of a tenant. */
async function databaseOfTenant(): Promise<string> {
  const url = await createMigratedDatabase();
  await sql(url, 'CREATE SCHEMA tenant');
  const migrating = await keysDataSource(url, {
    migrations: apiKeyMigrations(),
    extra: { options: '-c search_path=tenant' },
  });
  await runMigrations(migrating);
  await migrating.destroy();
  for (const schema of ['public', 'tenant'])
    await sql(url, `UPDATE ${schema}.api_key_trust SET trust_ms = 500`);
  return url;
}

describe('a limit that PostgreSQL counts beside tables of a tenant', () => {
  it('a limit holds even if an application changes the search_path between requests', async () => {
    const url = await databaseOfTenant();
    ground = await bootOn(url, {
      typeorm: ONE_CONNECTION,
      controllers: [Routes],
      options: { rateLimit: { storage: 'postgres', storageTimeoutMs: 10_000 } },
    });
    try {
      await untilCached(ground);
      const rateLimit = { limit: 2, windowSeconds: 3_600 };
      const { key } = await ground.keys.create({ userId: await createUser(url), name: 'ci', rateLimit });
      await ground.keys.verify(key);
      const statuses: number[] = [];
      for (const path of ['tenant', 'public', 'tenant', 'public']) {
        await leave(`SET search_path TO ${path}`);
        statuses.push(await statusOf(ground.url, key));
      }
      expect(statuses).toEqual([200, 200, 429, 429]);
      expect(await sql(url, 'SELECT FROM tenant.api_key_windows')).toEqual([]);
    } finally {
      await ground.close();
    }
  });
});

describe('a pool that sets its search_path on each connection', () => {
  const opened: Ground[] = [];
  afterAll(() => Promise.all(opened.map((each) => each.close())));

  it.each([
    ['', ''],
    [
      ' and only that schema has the tables',
      'DROP TABLE public.api_keys, public.api_key_silent_changes CASCADE',
    ],
  ])('accepts no revoked key on an instance whose pool sets its search_path%s', async (_, before) => {
    const url = await databaseOfTenant();
    const userId = await createUser(url);
    await sql(url, before);
    for (let i = 0; i < 2; i++)
      opened.push(
        await bootOn(url, {
          options: { cache: { leaseMs: 500, heartbeatMs: 50 } },
          prepare: async (dataSource) => {
            const pool = poolOf(dataSource);
            pool.on('connect', (client) => void client.query('SET search_path TO tenant'));
            (await pool.connect()).release(true);
          },
        }),
      );
    const [one, other] = opened.splice(0) as [Ground, Ground];
    try {
      await untilCached(other);
      const { key, apiKey } = await one.keys.create({ userId, name: 'ci' });
      expect(await other.keys.verify(key)).toMatchObject({ ok: true });
      await one.keys.revoke(apiKey.id, { everywhere: true });
      expect(await other.keys.verify(key)).toMatchObject({ ok: false });
    } finally {
      await Promise.all([one.close(), other.close()]);
    }
  });
});
