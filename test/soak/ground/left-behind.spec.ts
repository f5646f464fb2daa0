import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { bootOn, type Ground, ONE_CONNECTION, poolOf, UNCACHED } from '../../support/ground';

let database: string;
let userId: string;
let ground: Ground;

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  ground = await bootOn(database, { typeorm: ONE_CONNECTION, options: UNCACHED });
});
afterEach(() => ground.close());

/** Runs a statement on the one connection of the pool, and gives it back as that leaves it. */
async function leave(statement: string, dataSource = ground.dataSource): Promise<void> {
  const client = await poolOf(dataSource).connect();
  await client.query(statement);
  client.release();
}

/** A key is issued, accepted, changed, rotated and revoked. */
async function useKeys(): Promise<void> {
  const { keys } = ground;
  const { key, apiKey } = await keys.create({ userId, name: 'ci' });
  expect(await keys.verify(key)).toMatchObject({ ok: true });
  expect(await keys.update(apiKey.id, { name: 'new' })).toMatchObject({ name: 'new' });
  const successor = await keys.rotate(apiKey.id);
  expect(successor?.apiKey).toMatchObject({ replacesId: apiKey.id });
  expect(await keys.revoke(apiKey.id)).toMatchObject({ apiKey: { id: apiKey.id } });
  expect(await keys.verify(key)).toMatchObject({ ok: false });
}

it('issues, changes, rotates and ends keys whose ids are GENERATED ALWAYS AS IDENTITY', async () => {
  await sql(
    database,
    `ALTER TABLE api_keys ALTER id DROP DEFAULT; DROP SEQUENCE api_keys_id_seq;
     ALTER TABLE api_keys ALTER id ADD GENERATED ALWAYS AS IDENTITY`,
  );
  await useKeys();
  const line = { userId, name: 'old', keyDigest: 'a'.repeat(64), keyPrefix: 'key_old' };
  expect(await ground.keys.import([line])).toMatchObject({ imported: 1, problems: [] });
});

it.each([
  ['a cursor that is open', 'BEGIN; DECLARE c CURSOR FOR SELECT * FROM api_keys; FETCH c'],
  [
    'a cursor that outlives its transaction',
    'DECLARE c CURSOR WITH HOLD FOR SELECT * FROM api_keys; FETCH c',
  ],
  ['a LISTEN', 'LISTEN orders; NOTIFY orders'],
])('issues, changes, rotates and ends keys on a connection with %s', async (_, statement) => {
  await leave(statement);
  await useKeys();
});

it('reads keys even if the session has prepared statements with the names that the library uses', async () => {
  const { keys, dataSource } = ground;
  const { key } = await keys.create({ userId, name: 'ci' });
  await keys.verify(key);
  const client = await poolOf(dataSource).connect();
  const { rows } = await client.query<{ name: string }>(
    `SELECT name FROM pg_prepared_statements WHERE name LIKE 'nestjs_api_key%'`,
  );
  client.release(true);
  expect(rows).toHaveLength(2);
  for (const { name } of rows) await leave(`PREPARE "${name}" AS SELECT 'another'::text AS key_digest`);
  expect(await keys.verify(key)).toMatchObject({ ok: true });
});

it('a change does not wait for sessions that hold advisory locks of the application', async () => {
  const other = await bootOn(database, { typeorm: ONE_CONNECTION, options: UNCACHED });
  try {
    await leave(
      `SELECT pg_advisory_lock(n), pg_advisory_lock(n::int, 'api_keys'::regclass::oid::int) FROM generate_series(-100, 100) AS n`,
      other.dataSource,
    );
    await leave(
      `SELECT pg_advisory_lock(${userId}), pg_advisory_lock(hashtext('${userId}'))`,
      other.dataSource,
    );
    await useKeys();
  } finally {
    await other.close();
  }
});

it('issues, changes, rotates and ends keys on a connection that kept the advisory lock of their owner', async () => {
  await leave(`SELECT pg_advisory_lock(hashtextextended('${userId}', 'api_keys'::regclass::oid::bigint))`);
  await useKeys();
});
