import { PostgresThrottlerStorage } from 'nestjs-api-key';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { bootOn, type Ground, ONE_CONNECTION, poolOf, UNCACHED } from '../../support/ground';
import { patient } from '../../support/shared-storages';

let database: string;
let userId: string;
let ground: Ground;

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  ground = await bootOn(database, { typeorm: ONE_CONNECTION, options: UNCACHED });
});
afterEach(() => ground.close());

/** Runs statements on the one connection of the pool, and gives it back as they leave it. */
async function leave(...statements: string[]): Promise<void> {
  const client = await poolOf(ground.dataSource).connect();
  for (const statement of statements) await client.query(statement);
  client.release();
}

const inAnHour = () => new Date(Date.now() + 3_600_000);

/** A key whose end has come. */
async function expiredKey() {
  const issued = await ground.keys.create({ userId, name: 'ci', expiresAt: inAnHour() });
  await sql(database, `UPDATE api_keys SET expires_at = now() - interval '1 hour' WHERE id = $1`, [
    issued.apiKey.id,
  ]);
  return issued;
}

/** A clock of an application, which stands still. */
const FROZEN = `CREATE SCHEMA frozen;
  CREATE FUNCTION frozen.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2001-01-01'::timestamptz $$;
  CREATE FUNCTION frozen.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '2001-01-01'::timestamptz $$;`;
/** An operator that finds all times equal. */
const EQUAL = `CREATE FUNCTION frozen.is_equal(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
  CREATE OPERATOR frozen.= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = frozen.is_equal)`;
const FROZEN_FIRST = 'SET search_path = frozen, public, pg_catalog';

describe('a search path that names the schema of PostgreSQL last', () => {
  beforeEach(() => sql(database, FROZEN));

  it('refuses an expired key even if the application defines a clock that stands still', async () => {
    const { key } = await expiredKey();
    await leave(FROZEN_FIRST);
    expect(await ground.keys.verify(key)).toEqual({ ok: false, reason: 'expired' });
  });

  it('shows the expiry of a key even if the application defines a comparison of times', async () => {
    await sql(database, EQUAL);
    const { key, apiKey } = await ground.keys.create({ userId, name: 'ci', expiresAt: inAnHour() });
    await leave(FROZEN_FIRST);
    expect(await ground.keys.verify(key)).toMatchObject({ apiKey: { expiresAt: apiKey.expiresAt } });
    expect(await ground.keys.get(apiKey.id)).toMatchObject({ expiresAt: apiKey.expiresAt });
  });

  it('lets no expired key act even if the application defines a clock that stands still', async () => {
    const { apiKey } = await expiredKey();
    await leave(FROZEN_FIRST);
    const creating = ground.keys.create({ userId, name: 'next' }, { apiKey });
    await expect(creating).rejects.toMatchObject({ code: 'INVALID_API_KEY' });
  });

  it('revokes a key at the time of PostgreSQL', async () => {
    const { apiKey } = await ground.keys.create({ userId, name: 'ci' });
    await leave(FROZEN_FIRST);
    const revoked = await ground.keys.revoke(apiKey.id);
    expect(revoked?.apiKey?.revokedAt?.getTime()).toBeGreaterThan(Date.now() - 600_000);
  });

  it('fires a trigger of the application that finds its tables by the search path', async () => {
    await sql(
      database,
      `CREATE TABLE frozen.seen (id bigint);
       CREATE FUNCTION frozen.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NULL; END $$;
       CREATE TRIGGER see AFTER UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION frozen.see()`,
    );
    const { apiKey } = await ground.keys.create({ userId, name: 'ci' });
    await leave(FROZEN_FIRST);
    await ground.keys.revoke(apiKey.id);
    expect(await sql(database, 'SELECT id FROM frozen.seen')).toEqual([{ id: apiKey.id }]);
  });
});

describe('functions and operators of an application in its own schema', () => {
  it('refuses an unknown key even if the application defines an operator that treats all texts as equal', async () => {
    const { key, apiKey } = await ground.keys.create({ userId, name: 'ci' });
    await ground.keys.create({ userId, name: 'another' });
    await sql(
      database,
      `DELETE FROM api_keys WHERE id = ${apiKey.id};
       CREATE FUNCTION all_equal(varchar, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT true';
       CREATE OPERATOR = (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = all_equal)`,
    );
    expect(await ground.keys.verify(key)).toEqual({ ok: false, reason: 'unknown' });
  });

  it('reads the scopes of a key even if the application defines a function to_json', async () => {
    const { key, apiKey } = await ground.keys.create({ userId, name: 'ci', scopes: ['a'] as never });
    await sql(
      database,
      `CREATE FUNCTION to_json(text[]) RETURNS json LANGUAGE sql AS $$ SELECT '["*"]'::json $$`,
    );
    expect(await ground.keys.verify(key)).toMatchObject({ apiKey: { scopes: ['a'] } });
    expect(await ground.keys.get(apiKey.id)).toMatchObject({ scopes: ['a'] });
  });

  it('issues, rotates and ends keys even if the application defines implicit casts of all types to text', async () => {
    await sql(
      database,
      ['bigint', 'integer', 'oid', 'numeric', 'double precision', 'timestamptz']
        .map((type) => `CREATE CAST (${type} AS text) WITH INOUT AS IMPLICIT`)
        .join('; '),
    );
    const first = await ground.keys.create({ userId, name: 'ci', quota: { limit: 5, period: 'day' } });
    const second = await ground.keys.rotate(first.apiKey.id, { overlapSeconds: 0 });
    await ground.keys.evictOwner(userId);
    expect(await ground.keys.usage(first.apiKey.id)).toMatchObject({ quota: { used: 0 } });
    expect(await ground.keys.revokeAll({ userId })).toHaveLength(2);
    expect(await ground.keys.verify(second?.key)).toMatchObject({ ok: false });
  });
});

describe('temporary tables of an application', () => {
  /** A temporary table is a type of its name as well, and comes before those of PostgreSQL. */
  const TYPES = ['text', 'jsonb', 'timestamptz', 'regclass', 'oid', 'float8', 'inet'];
  const NAMED_AS_TYPES = TYPES.map((type) => `CREATE TEMP TABLE "${type}" (a int)`);

  it('authenticates, limits, changes and ends keys even if tables have the names of types', async () => {
    const storage = patient(new PostgresThrottlerStorage(ground.dataSource));
    const { key, apiKey } = await ground.keys.create({ userId, name: 'ci', allowedIps: ['10.0.0.0/8'] });
    await leave(...NAMED_AS_TYPES);
    expect(await ground.keys.verify(key)).toMatchObject({ ok: true, apiKey: { allowedIps: ['10.0.0.0/8'] } });
    expect(await storage.hit('one', { limit: 1, windowMs: 60_000 }, 1)).toMatchObject({ passed: true });
    expect(await ground.keys.update(apiKey.id, { name: 'new' })).toMatchObject({ name: 'new' });
    expect(await ground.keys.usage(apiKey.id)).toMatchObject({ quota: null });
    expect(await ground.keys.revoke(apiKey.id)).toMatchObject({ apiKey: { id: apiKey.id } });
    expect(await ground.keys.verify(key)).toMatchObject({ ok: false });
  });
});

describe('another encoding that an application set on a connection', () => {
  it('reads the name of a key in a look-up', async () => {
    const name = 'Zürich \u20ac';
    const { key } = await ground.keys.create({ userId, name });
    await leave(`SET client_encoding TO 'LATIN1'`);
    expect(await ground.keys.verify(key)).toMatchObject({ ok: true, apiKey: { name } });
    await sql(database, `UPDATE api_keys SET name = 'Zürich'`);
    expect(await ground.keys.verify(key)).toMatchObject({ ok: true, apiKey: { name: 'Zürich' } });
  });
});
