import { randomBytes } from 'node:crypto';
import {
  ApiKeyInputError,
  type ApiKeyOptions,
  apiKeyMigrations,
  PostgresThrottlerStorage,
  runMigrations,
} from 'nestjs-api-key';
import { Client } from 'pg';
import { keysDataSource } from '../../support/data-source';
import { createEmptyDatabase, createMigratedDatabase, createUser, sql } from '../../support/database';
import {
  alterDatabase,
  bootOn,
  type Ground,
  type GroundSettings,
  UNCACHED,
  untilCached,
} from '../../support/ground';
import { patient } from '../../support/shared-storages';
import { until } from '../../support/until';

/** Takes keys that SQL inserted as Rails does. */
const HEX: ApiKeyOptions = { ...UNCACHED, format: 'hex' };

const running: Ground[] = [];
afterEach(async () => {
  for (const each of running.splice(0)) await each.close();
});

async function boot(database: string, settings: GroundSettings = {}): Promise<Ground> {
  const ground = await bootOn(database, settings);
  running.push(ground);
  return ground;
}

/** An application on a database of its own whose sessions begin with these settings. */
async function bootWith(parameters: Readonly<Record<string, string>>, settings: GroundSettings = {}) {
  const database = await createMigratedDatabase();
  const userId = await createUser(database);
  await alterDatabase(database, parameters);
  return { database, userId, ...(await boot(database, settings)) };
}

/** An application that connects as a role which owns nothing. */
async function bootAsRole(work: (database: string, role: string) => Promise<unknown> = async () => {}) {
  const database = await createMigratedDatabase();
  const userId = await createUser(database);
  const role = new URL(database).pathname.slice(1);
  await sql(
    database,
    `CREATE ROLE "${role}" LOGIN PASSWORD 'secret'; GRANT ALL ON ALL TABLES IN SCHEMA public TO "${role}";
     GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "${role}"`,
  );
  await work(database, role);
  const url = new URL(database);
  [url.username, url.password] = [role, 'secret'];
  const ground = await boot(url.href, { options: HEX });
  const drop = () => sql(database, `DROP OWNED BY "${role}"; DROP ROLE "${role}"`);
  return { database, userId, drop, ...ground };
}

/** A key that was inserted by SQL. */
async function sqlKey(url: string, userId: string): Promise<{ key: string; id: string }> {
  const key = randomBytes(32).toString('hex');
  const writable = new URL(url);
  writable.searchParams.set('options', '-c default_transaction_read_only=off');
  const [row] = await sql<{ id: string }>(
    writable.href,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, created_at, updated_at)
     VALUES ($1, 'ci', encode(sha256($2::bytea), 'hex'), left($3, 8), now(), now()) RETURNING id`,
    [userId, key, key],
  );
  return { key, id: String(row?.id) };
}

/** Whether a revocation was refused, or holds. */
async function isHonest({ keys }: Pick<Ground, 'keys'>, key: string, revoking: Promise<unknown>) {
  const isRefused = await revoking.then(
    () => false,
    () => true,
  );
  return isRefused || !(await keys.verify(key)).ok;
}

describe('a revocation that PostgreSQL leaves undone', () => {
  const POLICIES = `ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
    CREATE POLICY reads ON api_keys FOR SELECT USING (true);
    CREATE POLICY inserts ON api_keys FOR INSERT WITH CHECK (true)`;

  it('a revocation is an error if a policy lets the role read but not change the key', async () => {
    const ground = await bootAsRole();
    const { keys, userId } = ground;
    const { key, apiKey } = await keys.create({ userId, name: 'ci' });
    await sql(ground.database, POLICIES);
    expect(await isHonest(ground, key, keys.revoke(apiKey.id))).toBe(true);
    await ground.close();
    await ground.drop();
  });

  it('a revocation is an error if a policy lets the role read but not change the keys of an owner', async () => {
    const ground = await bootAsRole();
    const { keys, userId } = ground;
    const { key } = await keys.create({ userId, name: 'ci' });
    await sql(ground.database, POLICIES);
    expect(await isHonest(ground, key, keys.revokeAll({ userId }))).toBe(true);
    await ground.close();
    await ground.drop();
  });

  it.each([
    ['skips', 'RETURN NULL'],
    ['undoes', 'RETURN OLD'],
  ])('a revocation is an error if a trigger of the application %s it', async (_, end) => {
    const { database, userId, ...ground } = await bootWith({}, { options: UNCACHED });
    const { key, apiKey } = await ground.keys.create({ userId, name: 'ci' });
    await sql(
      database,
      `CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${end}; END $$;
       CREATE TRIGGER keep BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION keep()`,
    );
    expect(await isHonest(ground, key, ground.keys.revoke(apiKey.id))).toBe(true);
    expect(await isHonest(ground, key, ground.keys.revokeAll({ userId }))).toBe(true);
  });

  it('a revocation is an error if a trigger of the application would undo it at the commit', async () => {
    const { database, userId, ...ground } = await bootWith({}, { options: UNCACHED });
    const { key, apiKey } = await ground.keys.create({ userId, name: 'ci' });
    await sql(
      database,
      `CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.revoked_at IS NOT NULL THEN UPDATE api_keys SET revoked_at = NULL, expires_at = NULL WHERE id = NEW.id; END IF;
         RETURN NULL; END $$;
       CREATE CONSTRAINT TRIGGER undo AFTER UPDATE ON api_keys DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION undo()`,
    );
    expect(await isHonest(ground, key, ground.keys.revoke(apiKey.id))).toBe(true);
    expect(await isHonest(ground, key, ground.keys.revokeAll({ userId }))).toBe(true);
  });

  it('a deletion is an error if a trigger of the application skips it', async () => {
    const { database, userId, ...ground } = await bootWith({}, { options: UNCACHED });
    const { key, apiKey } = await ground.keys.create({ userId, name: 'ci' });
    await sql(
      database,
      `CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
       CREATE TRIGGER keep BEFORE DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION keep()`,
    );
    const deleting = ground.keys.delete(apiKey.id);
    expect(await isHonest(ground, key, deleting)).toBe(true);
  });
});

describe('a value that a column of the table cannot hold', () => {
  it('is refused as input, without blaming the owner, if a new key has it', async () => {
    const { database, userId, keys } = await bootWith({}, { options: UNCACHED });
    await sql(
      database,
      'ALTER TABLE api_keys ALTER name TYPE varchar(5), ALTER rate_limit TYPE smallint USING NULL',
    );
    const doesNotFit = { problems: [expect.stringMatching(/^a field is longer or larger than its column/)] };
    await expect(keys.create({ userId, name: 'too long' })).rejects.toMatchObject(doesNotFit);
    const rateLimit = { limit: 100_000, windowSeconds: 60 };
    await expect(keys.create({ userId, name: 'ci', rateLimit })).rejects.toMatchObject(doesNotFit);
    const { apiKey } = await keys.create({ userId, name: 'ci' });
    await expect(keys.update(apiKey.id, { name: 'too long' })).rejects.toMatchObject(doesNotFit);
    const line = { userId, name: 'too long', keyDigest: 'a'.repeat(64), keyPrefix: 'key_' };
    expect(await keys.import([line])).toMatchObject({
      problems: [{ line: 1, problem: expect.stringMatching(/^a field is longer or larger than its column/) }],
    });
  });

  it('is not reported as invalid input if it is an id, because all ids are used up', async () => {
    const { database, userId, keys } = await bootWith({}, { options: UNCACHED });
    await sql(database, 'ALTER SEQUENCE api_keys_id_seq MAXVALUE 2; SELECT setval($$api_keys_id_seq$$, 2)');
    const cause = { message: expect.stringContaining('api_keys_id_seq') };
    const unavailable = { code: 'KEY_STORE_UNAVAILABLE', cause };
    await expect(keys.create({ userId, name: 'ci' })).rejects.toMatchObject(unavailable);
    const line = { userId, name: 'ci', keyDigest: 'a'.repeat(64), keyPrefix: 'key_' };
    await expect(keys.import([line])).rejects.toMatchObject(unavailable);
  });
});

it('gives a key that a key without expiry creates an expiry that all clients can read', async () => {
  const { database, userId, keys } = await bootWith({}, { options: UNCACHED });
  const { apiKey } = await keys.create({ userId, name: 'ci' });
  await sql(database, `UPDATE api_keys SET expires_at = '200000-01-01'`);
  const acting = { apiKey };
  const expiresAt = new Date('9999-12-31T23:59:59.999Z');
  expect(await keys.create({ userId, name: 'made' }, acting)).toMatchObject({ apiKey: { expiresAt } });
  const [endless] = await sql(
    database,
    `UPDATE api_keys SET expires_at = NULL WHERE name = 'made' RETURNING id`,
  );
  const rotated = await keys.rotate(String(endless?.id), { overlapSeconds: 0 }, acting);
  expect(rotated).toMatchObject({ apiKey: { expiresAt } });
});

it('does not start if two spellings can be the same owner in column user_id', async () => {
  const database = await createMigratedDatabase();
  await sql(database, 'ALTER TABLE api_keys DROP CONSTRAINT IF EXISTS api_keys_user_id_fkey');
  for (const type of ['numeric', 'text COLLATE blind', 'bytea USING NULL']) {
    await sql(
      database,
      `CREATE COLLATION IF NOT EXISTS blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
       ALTER TABLE api_keys ALTER user_id TYPE ${type}`,
    );
    await expect(boot(database)).rejects.toThrow(
      /column user_id is .*bigint, integer, uuid, text or varchar/,
    );
  }
  await sql(
    database,
    'CREATE DOMAIN owner AS varchar; ALTER TABLE api_keys ALTER user_id TYPE owner USING NULL',
  );
  await boot(database, { options: UNCACHED });
});

it('accepts no key whose expiry column lost its time zone while the instance runs', async () => {
  const { database, userId, keys } = await bootWith({ TimeZone: 'UTC' }, { options: UNCACHED });
  const expiresAt = new Date(Date.now() + 3_600_000);
  const { key, apiKey } = await keys.create({ userId, name: 'ci', expiresAt });
  await sql(
    database,
    `SET TimeZone = 'Asia/Tokyo'; UPDATE api_keys SET expires_at = now() - interval '1 hour';
     ALTER TABLE api_keys ALTER expires_at TYPE timestamp`,
  );
  await expect(keys.verify(key)).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
    cause: { message: expect.stringMatching(/expires_at .*timestamptz/) },
  });
  await expect(keys.create({ userId, name: 'next' }, { apiKey })).rejects.toMatchObject({
    code: 'INVALID_API_KEY',
  });
  expect(await keys.revoke(apiKey.id)).toMatchObject({ apiKey: { id: apiKey.id } });
});

it('names the option for the schema if the search path leads nowhere', async () => {
  await expect(bootWith({ search_path: '' })).rejects.toThrow(
    /set "schema" in the options of the data source/,
  );
});

it('authenticates no request if a policy hides the keys from the role', async () => {
  const ground = await bootAsRole();
  const { key } = await sqlKey(ground.database, ground.userId);
  await sql(ground.database, 'ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY');
  const verifying = ground.keys.verify(key);
  await expect(verifying).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  await ground.close();
  await ground.drop();
});

it('names the missing right if the role may not use a table of the library', async () => {
  const booting = bootAsRole((database, role) =>
    sql(database, `REVOKE ALL ON api_key_silent_changes FROM "${role}"`),
  );
  await expect(booting).rejects.toThrow(/GRANT/);
});

it('ends keys if the database is read-only by default', async () => {
  const parameters = { default_transaction_read_only: 'on' };
  const { database, userId, keys } = await bootWith(parameters, { options: HEX });
  const { key, id } = await sqlKey(database, userId);
  expect(await keys.verify(key)).toMatchObject({ ok: true });
  await keys.revoke(id);
  expect(await keys.verify(key)).toMatchObject({ ok: false });
});

it('names the setting to turn off if a key cannot be created because the database is read-only by default', async () => {
  const { userId, keys } = await bootWith({ default_transaction_read_only: 'on' });
  const creating = keys.create({ userId, name: 'ci' });
  await expect(creating).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
    cause: { message: expect.stringContaining('default_transaction_read_only is on') },
  });
});

it('resets quotas at midnight of UTC if sessions have another time zone', async () => {
  const { userId, keys } = await bootWith(
    { TimeZone: 'Asia/Kathmandu', DateStyle: 'ISO, DMY' },
    { options: UNCACHED },
  );
  const { apiKey } = await keys.create({ userId, name: 'ci', quota: { limit: 5, period: 'day' } });
  const usage = await keys.usage(apiKey.id);
  expect(usage?.quota?.resetsAt.toISOString()).toMatch(/T00:00:00\.000Z$/);
  expect(apiKey.createdAt.getTime()).toBeGreaterThan(Date.now() - 60_000);
});

it('commits revocations durably if synchronous_commit is off', async () => {
  const { database, userId, keys } = await bootWith({ synchronous_commit: 'off' }, { options: UNCACHED });
  await sql(
    database,
    `CREATE TABLE seen (setting text);
     CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
     CREATE TRIGGER see AFTER UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION see()`,
  );
  const { apiKey } = await keys.create({ userId, name: 'ci' });
  await keys.revoke(apiKey.id);
  expect(await sql(database, 'SELECT setting FROM seen')).toEqual([{ setting: 'on' }]);
});

it('refuses a key at its end if extra_float_digits rounds numbers', async () => {
  const { database, userId, ...ground } = await bootWith({ extra_float_digits: '-15' });
  await untilCached(ground);
  const { key, apiKey } = await ground.keys.create({ userId, name: 'ci' });
  await sql(
    database,
    `UPDATE api_keys SET expires_at = clock_timestamp() + interval '1.75 s' WHERE id = $1`,
    [apiKey.id],
  );
  expect(await ground.keys.verify(key)).toMatchObject({ ok: true });
  await until(async () => {
    const [row] = await sql(
      database,
      'SELECT expires_at < clock_timestamp() AS over FROM api_keys WHERE id = $1',
      [apiKey.id],
    );
    return row?.over === true;
  });
  expect(await ground.keys.verify(key)).toMatchObject({ ok: false });
});

it('distinguishes nulls from the text NULL if array_nulls is off', async () => {
  const { userId, keys } = await bootWith({ array_nulls: 'off' }, { options: UNCACHED });
  const { apiKey } = await keys.create({ userId, name: 'ci' });
  const events = await keys.events(apiKey.id);
  expect(events?.items[0]).toMatchObject({
    type: 'created',
    actor: { id: null },
    address: null,
    requestId: null,
  });
});

it('notifies other instances of a revocation in a session with the role replica', async () => {
  const parameters = { session_replication_role: 'replica' };
  const { database, userId, keys } = await bootWith(parameters);
  const other = await boot(database);
  await untilCached(other);
  const { key, apiKey } = await keys.create({ userId, name: 'ci' });
  expect(await other.keys.verify(key)).toMatchObject({ ok: true });
  await keys.revoke(apiKey.id);
  await until(async () => !(await other.keys.verify(key)).ok);
});

it('keeps its listening session if idle sessions are ended sooner than heartbeats are sent', async () => {
  const { database, userId, ...ground } = await bootWith(
    { idle_session_timeout: '100ms' },
    { options: { cache: { heartbeatMs: 30_000, leaseMs: 60_000 } } },
  );
  const sessions = () =>
    sql(
      database,
      `SELECT pid, backend_start::text FROM pg_stat_activity
       WHERE datname = current_database() AND application_name = 'nestjs-api-key feed'`,
    );
  await untilCached(ground);
  const [session] = await sessions();
  await sql(database, 'SELECT pg_sleep(0.5)');
  const { key } = await ground.keys.create({ userId, name: 'ci' });
  expect(await ground.keys.verify(key)).toMatchObject({ ok: true });
  expect(await sessions()).toEqual([session]);
});

it('waits for a lock as long as it needs if lock_timeout is short', async () => {
  const { database, userId, keys } = await bootWith({ lock_timeout: '50ms' }, { options: UNCACHED });
  const { key, apiKey } = await keys.create({ userId, name: 'ci' });
  const holder = new Client({ connectionString: database });
  await holder.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [apiKey.id]);
  const revoking = keys.revoke(apiKey.id).catch((error: unknown) => error);
  await holder.query('SELECT pg_sleep(0.3)');
  await holder.query('COMMIT');
  await holder.end();
  await revoking;
  expect(await keys.verify(key)).toMatchObject({ ok: false });
});

it.each<Record<string, string>>([
  { standard_conforming_strings: 'off', backslash_quote: 'off' },
  { IntervalStyle: 'iso_8601' },
  { IntervalStyle: 'sql_standard' },
  { plan_cache_mode: 'force_generic_plan', jit: 'on', jit_above_cost: '0' },
  { bytea_output: 'escape', transform_null_equals: 'on', quote_all_identifiers: 'on' },
  { default_transaction_deferrable: 'on', default_transaction_isolation: 'serializable' },
])('issues, limits, rotates and ends keys if %p is set', async (parameters) => {
  const { userId, keys, dataSource } = await bootWith(parameters, { options: UNCACHED });
  const storage = patient(new PostgresThrottlerStorage(dataSource));
  const policy = { limit: 1, windowMs: 60_000 };
  expect(await storage.hit('one', policy, 1)).toMatchObject({ passed: true, remaining: 0 });
  expect(await storage.hit('one', policy, 1)).toMatchObject({ passed: false });
  const expiresAt = new Date(Date.now() + 3_600_000);
  const rateLimit = { limit: 5, windowSeconds: 60 };
  const first = await keys.create({
    userId,
    name: 'a\\b',
    scopes: ['orders:read'] as never,
    expiresAt,
    rateLimit,
    allowedIps: ['10.0.0.0/8'],
    metadata: { path: 'c:\\d' },
  });
  expect(first.apiKey).toMatchObject({
    name: 'a\\b',
    expiresAt,
    allowedIps: ['10.0.0.0/8'],
    metadata: { path: 'c:\\d' },
  });
  const { key, apiKey } = (await keys.rotate(first.apiKey.id, { overlapSeconds: 0 })) ?? first;
  expect(await keys.verify(first.key)).toMatchObject({ ok: false });
  expect(await keys.verify(key)).toMatchObject({
    ok: true,
    apiKey: { replacesId: first.apiKey.id, rateLimit: 5 },
  });
  expect((await keys.list({ userId })).items).toHaveLength(2);
  await keys.revoke(apiKey.id);
  expect(await keys.verify(key)).toMatchObject({ ok: false });
  expect((await keys.events(apiKey.id))?.items.map(({ type }) => type)).toEqual(['revoked', 'created']);
});

it.each<Record<string, string>>([
  { quote_all_identifiers: 'on' },
  { standard_conforming_strings: 'off' },
  { array_nulls: 'off' },
  { default_transaction_isolation: 'serializable' },
])('migrates an empty database if %p is set', async (parameters) => {
  const database = await createEmptyDatabase();
  await alterDatabase(database, parameters);
  const dataSource = await keysDataSource(database, { migrations: apiKeyMigrations() });
  try {
    expect(await runMigrations(dataSource)).not.toEqual([]);
  } finally {
    await dataSource.destroy();
  }
});

it('changes keys, limits and the trail if all tables are published to a logical replica', async () => {
  const { database, userId, keys } = await bootWith({}, { options: UNCACHED });
  await sql(database, 'CREATE PUBLICATION everything FOR ALL TABLES');
  const { key, apiKey } = await keys.create({ userId, name: 'ci', quota: { limit: 5, period: 'day' } });
  await keys.verify(key);
  await keys.update(apiKey.id, { name: 'new' });
  await keys.rotate(apiKey.id, { overlapSeconds: 0 });
  expect(await keys.revokeAll({ userId })).toHaveLength(2);
  await sql(database, `UPDATE api_keys SET expires_at = now() - interval '9 years'`);
  await sql(database, `UPDATE api_key_events SET created_at = now() - interval '9 years'`);
  await sql(database, 'UPDATE api_key_trust SET trust_ms = 3000');
  expect(await keys.prune()).toMatchObject({ keys: 2 });
});

it('receives a revocation after Rails disabled and enabled all triggers', async () => {
  const { database, userId, ...ground } = await bootWith({});
  await untilCached(ground);
  const { key, apiKey } = await ground.keys.create({ userId, name: 'ci' });
  expect(await ground.keys.verify(key)).toMatchObject({ ok: true });
  await sql(database, 'ALTER TABLE api_keys DISABLE TRIGGER ALL; ALTER TABLE api_keys ENABLE TRIGGER ALL');
  await sql(database, 'UPDATE api_keys SET revoked_at = now() WHERE id = $1', [apiKey.id]);
  await until(async () => !(await ground.keys.verify(key)).ok);
});

describe('a sequence of ids that a restore set back', () => {
  it('mixes up no keys if the sequence of ids is behind', async () => {
    const { database, userId, keys } = await bootWith({}, { options: UNCACHED });
    const first = await keys.create({ userId, name: 'first' });
    await sql(database, 'ALTER SEQUENCE api_keys_id_seq RESTART');
    await keys.create({ userId, name: 'second' }).catch(() => {});
    const second = await keys.create({ userId, name: 'second' });
    expect(second.apiKey.id).not.toBe(first.apiKey.id);
    expect(await keys.verify(first.key)).toMatchObject({ ok: true, apiKey: { name: 'first' } });
  });

  it('does not report invalid input for a new key if the sequence of ids is behind', async () => {
    const { database, userId, keys } = await bootWith({}, { options: UNCACHED });
    await keys.create({ userId, name: 'first' });
    await sql(database, 'ALTER SEQUENCE api_keys_id_seq RESTART');
    const outcome = await keys.create({ userId, name: 'second' }).catch((error: unknown) => error);
    expect(outcome).not.toBeInstanceOf(ApiKeyInputError);
  });
});
