import { bootApp, QUIET } from '../../support/app';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { flakyProxy } from '../../support/flaky-proxy';
import { bootOn, type Ground, type GroundSettings, UNCACHED } from '../../support/ground';

let running: Ground | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

/** An application on a database of its own, with a key. */
async function bootWithKey(settings: GroundSettings = {}) {
  const url = await createMigratedDatabase();
  running = await bootOn(url, { options: UNCACHED, ...settings });
  const { keys } = running;
  const userId = await createUser(url);
  const { key, apiKey } = await keys.create({ userId, name: 'ci', expiresAt: new Date('2040-01-01') });
  return { url, keys, userId, key, id: apiKey.id };
}

const trigger = (when: string, body: string, constraint = '') =>
  `CREATE FUNCTION hinder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} END $$;
   CREATE ${constraint} TRIGGER hinder ${when} UPDATE ON api_keys ${constraint && 'DEFERRABLE INITIALLY DEFERRED'} FOR EACH ROW EXECUTE FUNCTION hinder()`;

const OBSTACLES: [string, string][] = [
  ['a trigger skips it', trigger('BEFORE', 'RETURN NULL;')],
  ['a trigger undoes it', trigger('BEFORE', 'RETURN OLD;')],
  ['a rule replaces it', 'CREATE RULE hinder AS ON UPDATE TO api_keys DO INSTEAD NOTHING'],
  [
    'a trigger keeps the key valid for Rails',
    trigger('BEFORE', `NEW.expires_at := now() + interval '1 day'; RETURN NEW;`),
  ],
  [
    'a trigger undoes it at the commit',
    trigger(
      'AFTER',
      `IF NEW.disabled_at IS NOT NULL THEN UPDATE api_keys SET disabled_at = NULL WHERE id = NEW.id; END IF; RETURN NULL;`,
      'CONSTRAINT',
    ),
  ],
  [
    'api_keys is a view whose trigger only pretends to make it',
    `ALTER TABLE api_keys RENAME TO all_keys; CREATE VIEW api_keys AS SELECT * FROM all_keys;
     CREATE FUNCTION hinder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
     CREATE TRIGGER hinder INSTEAD OF UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION hinder()`,
  ],
];
const UNAVAILABLE = { code: 'KEY_STORE_UNAVAILABLE', cause: { message: expect.stringMatching(/trigger/) } };

it.each(OBSTACLES)('a disabling is an error, and is not recorded, if %s', async (_, obstacle) => {
  const { url, keys, id } = await bootWithKey();
  await sql(url, obstacle);
  await expect(keys.disable(id)).rejects.toMatchObject(UNAVAILABLE);
  expect(await sql(url, `SELECT FROM api_key_events WHERE type = 'disabled'`)).toEqual([]);
});

it.each([
  OBSTACLES[0],
  OBSTACLES[1],
  OBSTACLES[2],
  ['a trigger disables it again', trigger('BEFORE', 'NEW.disabled_at := now(); RETURN NEW;')],
] as [string, string][])('an enabling is an error, and the key stays refused, if %s', async (_, obstacle) => {
  const { url, keys, key, id } = await bootWithKey();
  await keys.disable(id);
  await sql(url, obstacle);
  await expect(keys.enable(id)).rejects.toMatchObject(UNAVAILABLE);
  expect(await keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
});

it.each([
  ['no disabled_at', 'ALTER TABLE api_keys DROP disabled_at', 'disabled_at timestamptz'],
  ['no disabled_by_id', 'ALTER TABLE api_keys DROP disabled_by_id', 'disabled_by_id bigint'],
  [
    'no enabled_expires_at',
    'ALTER TABLE api_keys RENAME enabled_expires_at TO saved',
    'enabled_expires_at timestamptz',
  ],
  ['disabled_at as text', 'ALTER TABLE api_keys ALTER disabled_at TYPE text', 'disabled_at timestamptz'],
  ['expires_at as a date', 'ALTER TABLE api_keys ALTER expires_at TYPE date', 'expires_at timestamptz'],
  [
    'a computed expires_at',
    'ALTER TABLE api_keys DROP expires_at; ALTER TABLE api_keys ADD expires_at timestamptz GENERATED ALWAYS AS (created_at) STORED',
    'expires_at timestamptz',
  ],
])('a disabling says what to do if the table has %s, and the key can be revoked', async (_, change, column) => {
  const { url, keys, id } = await bootWithKey();
  await sql(url, change);
  await expect(keys.disable(id)).rejects.toMatchObject({
    code: 'KEY_STORE_UNAVAILABLE',
    cause: {
      message: expect.stringContaining(
        `a column is missing or has another type: ${column}. Run the migrations of apiKeyMigrations(), or ALTER TABLE api_keys. To end the key now, revoke it.`,
      ),
    },
  });
  expect(await keys.revoke(id)).toMatchObject({ apiKey: { id } });
});

it.each([
  [
    'the type of a limit was changed and it is NaN',
    `ALTER TABLE api_keys ALTER quota TYPE numeric; UPDATE api_keys SET quota = 'NaN'`,
  ],
  ['a column is missing', 'ALTER TABLE api_keys DROP metadata'],
  ['the column of changes is missing', 'ALTER TABLE api_keys DROP updated_at'],
  [
    'the column of changes is text',
    'ALTER TABLE api_keys ALTER updated_at DROP DEFAULT, ALTER updated_at TYPE text',
  ],
])('a key is disabled even if %s', async (_, change) => {
  const { url, keys, userId, id } = await bootWithKey();
  await sql(url, change);
  expect(await keys.disable(id)).toMatchObject({
    id,
    userId,
    expiresAt: new Date('2040-01-01'),
    disabledAt: expect.any(Date),
  });
  expect(
    await sql(url, 'SELECT FROM api_keys WHERE disabled_at IS NOT NULL AND expires_at <= now()'),
  ).toHaveLength(1);
});

it('a key is disabled, and not enabled, in a database whose transactions are read-only by default', async () => {
  const { url, id } = await bootWithKey();
  await sql(url, `ALTER DATABASE "${new URL(url).pathname.slice(1)}" SET default_transaction_read_only = on`);
  await running?.close();
  running = await bootOn(url, { options: UNCACHED });
  expect(await running.keys.disable(id)).toMatchObject({ disabledAt: expect.any(Date) });
  await expect(running.keys.enable(id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
});

it.each([
  'America/Los_Angeles',
  'UTC-14',
  'Asia/Kolkata',
])('a key is disabled and given back the same in sessions in %s', async (zone) => {
  const { url, id } = await bootWithKey();
  await running?.close();
  running = await bootOn(url, {
    options: UNCACHED,
    typeorm: { extra: { options: `-c TimeZone=${zone} -c DateStyle=SQL,DMY` } },
  });
  const before = await running.keys.get(id);
  expect(await running.keys.disable(id)).toMatchObject({ expiresAt: before?.expiresAt });
  expect(await sql(url, 'SELECT FROM api_keys WHERE expires_at > now()')).toEqual([]);
  expect(await running.keys.enable(id)).toMatchObject({ expiresAt: before?.expiresAt });
});

it.each([
  ['was disabled', false],
  ['a key had disabled before', true],
])('a key that %s is found disabled if the answer to the COMMIT is lost', async (_, isTaken) => {
  const url = await createMigratedDatabase();
  const proxy = await flakyProxy(url);
  const app = await bootApp({ database: proxy.url, options: QUIET });
  try {
    const userId = await createUser(url);
    const { key, apiKey } = await app.keys.create({ userId, name: 'ci' });
    const actor = await app.keys.create({ userId, name: 'manager' });
    if (isTaken) await app.keys.disable(apiKey.id, {}, { apiKey: actor.apiKey });
    const answer = proxy.holdAnswerTo('COMMIT\0');
    const disabling = app.keys.disable(apiKey.id);
    await answer.given;
    await sql(
      url,
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT'`,
    );
    expect(await disabling).toMatchObject({
      id: apiKey.id,
      disabledById: null,
      disabledAt: expect.any(Date),
    });
    expect(await app.keys.verify(key)).toEqual({ ok: false, reason: 'disabled' });
  } finally {
    await app.close();
    await proxy.cut();
  }
});

it('a disabling that could not begin is an error, even if a key had disabled the key before', async () => {
  const { url, keys, userId, id } = await bootWithKey();
  const actor = await keys.create({ userId, name: 'manager' });
  await keys.disable(id, {}, { apiKey: actor.apiKey });
  await sql(url, trigger('BEFORE', "RAISE EXCEPTION 'no';"));
  await expect(keys.disable(id)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  expect(await keys.get(id)).toMatchObject({ disabledById: actor.apiKey.id });
});
