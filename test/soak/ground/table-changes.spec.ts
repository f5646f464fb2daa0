import { apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { Client } from 'pg';
import { keysDataSource } from '../../support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { bootOn, type Ground, type GroundSettings, ONE_CONNECTION, UNCACHED } from '../../support/ground';
import { connect, Hearing } from '../../support/hearing';

/** What somebody else does to the table of keys while sessions are open. */
const TYPES = {
  'name becomes text': 'ALTER TABLE api_keys ALTER name TYPE text',
  'scopes become varchar[]': 'ALTER TABLE api_keys ALTER scopes TYPE varchar[]',
  'rate_limit becomes bigint': 'ALTER TABLE api_keys ALTER rate_limit TYPE bigint',
  'id becomes integer': 'ALTER TABLE api_keys ALTER id TYPE int',
  'metadata becomes json':
    'ALTER TABLE api_keys ALTER metadata DROP DEFAULT, ALTER metadata TYPE json, ALTER metadata SET DEFAULT $${}$$',
};
const COLUMNS = {
  'a column is added': 'ALTER TABLE api_keys ADD note text',
  'a column is dropped': 'ALTER TABLE api_keys DROP key_suffix',
  'a column is renamed': 'ALTER TABLE api_keys RENAME name TO label',
  'columns are reordered': `ALTER TABLE api_keys ADD scopes_2 text[]; UPDATE api_keys SET scopes_2 = scopes;
    ALTER TABLE api_keys DROP scopes; ALTER TABLE api_keys RENAME scopes_2 TO scopes`,
};
const each = (changes: Readonly<Record<string, string>>) => Object.entries(changes);

let running: Ground | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

/** An application on a database of its own, until the test ends. */
async function bootOnOwn(settings: Pick<GroundSettings, 'typeorm'> = {}) {
  const url = await createMigratedDatabase();
  running = await bootOn(url, { options: UNCACHED, ...settings });
  return { url, ground: running };
}

/** A session of an application that has updated keys before, and what is told of its changes. */
async function withSession(
  work: (session: Client, hearing: Hearing, url: string) => Promise<void>,
): Promise<void> {
  const url = await createMigratedDatabase();
  const userId = await createUser(url);
  const session = await connect(url);
  const hearing = await Hearing.of(url);
  try {
    await session.query(
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) SELECT $1, 'ci', 'digest ' || i, 'prefix' FROM generate_series(1, 3) AS i`,
      [userId],
    );
    await session.query('UPDATE api_keys SET rate_limit = 5 WHERE id = 1');
    await session.query('DELETE FROM api_keys WHERE id = 3');
    await hearing.told();
    await work(session, hearing, url);
  } finally {
    await Promise.all([session.end(), hearing.end()]);
  }
}

describe('A session that updated keys before the table changed', () => {
  it.each(
    each({ ...TYPES, ...COLUMNS }),
  )('revokes a key, and the change is notified, after %s', (_, change) =>
    withSession(async (session, hearing, url) => {
      await sql(url, change);
      await hearing.told();
      await session.query('UPDATE api_keys SET expires_at = now() WHERE id = 1');
      expect(await hearing.told()).toEqual(['1']);
      await session.query('DELETE FROM api_keys WHERE id = 2');
      expect(await hearing.told()).toEqual(['2']);
    }));

  it.each(
    each({ ...TYPES, ...COLUMNS }),
  )('notifies a new digest, but not a last use, after %s', (_, change) =>
    withSession(async (session, hearing, url) => {
      await sql(url, change);
      await hearing.told();
      await session.query('UPDATE api_keys SET last_used_at = now(), updated_at = now()');
      expect(await hearing.told()).toEqual([]);
      await session.query(`UPDATE api_keys SET key_digest = 'another' WHERE id = 1`);
      expect(await hearing.told()).toEqual(['1', '+']);
    }));

  it.each(
    each({ ...TYPES, ...COLUMNS }),
  )('notifies no change of a column of the application after %s', (_, change) =>
    withSession(async (session, hearing, url) => {
      await sql(url, 'ALTER TABLE api_keys ADD color text');
      await session.query(`UPDATE api_keys SET color = 'red'`);
      await sql(url, change);
      await hearing.told();
      await session.query(`UPDATE api_keys SET color = 'blue' WHERE id = 1`);
      const isColumnGone = /DROP key_suffix|RENAME name/.test(change);
      expect(await hearing.told()).toEqual(isColumnGone ? ['1'] : []);
    }));

  it('notifies a change of a renamed column', () =>
    withSession(async (session, hearing, url) => {
      await sql(url, 'ALTER TABLE api_keys RENAME revoked_at TO ended_at');
      await session.query('UPDATE api_keys SET ended_at = now() WHERE id = 2');
      expect(await hearing.told()).toEqual(['2']);
    }));

  it('clears all caches if the id column is missing, or the row cannot be converted to jsonb', () =>
    withSession(async (session, hearing, url) => {
      await sql(url, `ALTER TABLE api_keys ADD own json DEFAULT '"\\u0000"'`);
      await session.query('UPDATE api_keys SET last_used_at = now()');
      await session.query('UPDATE api_keys SET expires_at = now() WHERE id = 1');
      expect(await hearing.told()).toEqual(['1']);
      await sql(url, 'ALTER TABLE api_keys ALTER name TYPE text');
      await session.query('UPDATE api_keys SET expires_at = now() WHERE id = 1');
      expect(await hearing.told()).toEqual(['*']);
      await sql(url, 'ALTER TABLE api_keys DROP own, DROP id');
      await session.query('UPDATE api_keys SET expires_at = now()');
      expect(await hearing.told()).toEqual(['*']);
    }));

  it.each(each(TYPES))('revokes a key through the service after %s', async (_, change) => {
    const { url, ground } = await bootOnOwn({ typeorm: ONE_CONNECTION });
    const userId = await createUser(url);
    const create = () => ground.keys.create({ userId, name: 'ci' });
    const [before, after] = [await create(), await create()];
    await ground.keys.revoke(before.apiKey.id);
    await sql(url, change);
    await ground.keys.revoke(after.apiKey.id);
    expect(await ground.keys.verify(after.key)).toMatchObject({ ok: false });
  });
});

describe('A revocation', () => {
  it.each([
    ['an unneeded column was dropped', 'ALTER TABLE api_keys DROP quota'],
    ['a column was renamed', 'ALTER TABLE api_keys RENAME name TO label'],
    ['the column of replaced keys was dropped', 'ALTER TABLE api_keys DROP replaces_id'],
    ['the column of change times was dropped', 'ALTER TABLE api_keys DROP updated_at'],
    ['the column of expiries was dropped', 'ALTER TABLE api_keys DROP expires_at'],
    [
      'times became text',
      'ALTER TABLE api_keys ALTER expires_at TYPE text, ALTER updated_at DROP DEFAULT, ALTER updated_at TYPE text',
    ],
    [
      'the times of its end and of its changes are computed',
      `ALTER TABLE api_keys DROP expires_at, DROP updated_at;
       ALTER TABLE api_keys ADD expires_at timestamptz GENERATED ALWAYS AS (created_at) STORED, ADD updated_at timestamptz GENERATED ALWAYS AS (revoked_at) STORED`,
    ],
    [
      'the keys that made it became text',
      `DROP INDEX index_api_keys_on_ancestor_ids; ALTER TABLE api_keys ALTER ancestor_ids DROP DEFAULT, ALTER ancestor_ids TYPE text USING 'none'`,
    ],
    [
      'the keys that made it became JSON',
      'ALTER TABLE api_keys ALTER ancestor_ids DROP DEFAULT, ALTER ancestor_ids TYPE jsonb USING to_jsonb(ancestor_ids)',
    ],
    [
      'scopes became a composite',
      `CREATE TYPE two AS (a text, b text); ALTER TABLE api_keys ALTER scopes DROP DEFAULT, ALTER scopes TYPE two USING NULL; UPDATE api_keys SET scopes = ROW('a', 'b')::two`,
    ],
    [
      'metadata became bytes',
      `ALTER TABLE api_keys ALTER metadata DROP DEFAULT, ALTER metadata TYPE bytea USING '\\x00ff'`,
    ],
    [
      'its times are infinite',
      `UPDATE api_keys SET created_at = 'infinity', expires_at = 'infinity', last_used_at = '-infinity'`,
    ],
    ['the time of revocations became text', 'ALTER TABLE api_keys ALTER revoked_at TYPE text'],
    [
      'the time of revocations became a date, and another key was revoked for ever',
      `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, revoked_at) SELECT user_id, 'old', 'old', 'old', 'infinity' FROM api_keys LIMIT 1;
       ALTER TABLE api_keys ALTER revoked_at TYPE date`,
    ],
    ['addresses became text', 'ALTER TABLE api_keys ALTER allowed_ips TYPE text USING $$10.0.0.1$$'],
    [
      'a limit is not a number',
      `ALTER TABLE api_keys ALTER rate_limit TYPE numeric; UPDATE api_keys SET rate_limit = 'NaN'`,
    ],
    [
      'the table lost its unique indexes, and a key has two successors',
      `ALTER TABLE api_keys RENAME TO former; CREATE TABLE api_keys AS TABLE former;
       INSERT INTO api_keys SELECT n, user_id, name, n, key_prefix, scopes, NULL, NULL, now(), now(), NULL, NULL FROM former, generate_series(901, 902) n LIMIT 2;
       UPDATE api_keys SET replaces_id = 1, metadata = '{}' WHERE id > 900`,
    ],
  ])('ends one key and all keys of an owner even if %s', async (_, change) => {
    const { url, ground } = await bootOnOwn();
    const userId = await createUser(url);
    const { apiKey } = await ground.keys.create({ userId, name: 'ci' });
    await ground.keys.create({ userId, name: 'made' }, { apiKey });
    await sql(url, change);
    expect(await ground.keys.revoke(apiKey.id)).toMatchObject({ apiKey: { id: apiKey.id, userId } });
    expect(await ground.keys.revokeAll({ userId })).not.toEqual([]);
    expect(await sql(url, 'SELECT FROM api_keys WHERE revoked_at IS NULL')).toEqual([]);
  });

  it.each([
    'timestamp',
    'date',
  ])('ends a key for others that read its end as %s in UTC, whatever the time zone of the session', async (type) => {
    const { url, ground } = await bootOnOwn({
      typeorm: { extra: { options: '-c TimeZone=UTC-14' } },
    });
    const { apiKey } = await ground.keys.create({ userId: await createUser(url), name: 'ci' });
    await sql(
      url,
      `ALTER TABLE api_keys ALTER expires_at TYPE ${type}, ALTER revoked_at TYPE ${type},
         ALTER updated_at DROP DEFAULT, ALTER updated_at TYPE timestamp`,
    );
    const revoked = await ground.keys.revoke(apiKey.id);
    expect(
      await sql(
        url,
        `SELECT expires_at <= ended.at AS expired, revoked_at <= ended.at AS revoked, updated_at <= ended.at AS changed
         FROM api_keys, (SELECT now() AT TIME ZONE 'UTC' AS at) AS ended`,
      ),
    ).toEqual([{ expired: true, revoked: true, changed: true }]);
    expect(revoked?.apiKey?.revokedAt).toEqual(revoked?.apiKey?.expiresAt);
    const [row] = await sql<{ ms: string }>(
      url,
      `SELECT (extract(epoch FROM date_trunc('milliseconds', expires_at)) * 1000)::bigint::text AS ms FROM api_keys`,
    );
    expect(revoked?.apiKey?.expiresAt).toEqual(new Date(Number(row?.ms)));
  });

  it('ends a key for others that read its end, if the type of its times is a domain', async () => {
    const { url, ground } = await bootOnOwn();
    const { apiKey } = await ground.keys.create({ userId: await createUser(url), name: 'ci' });
    await sql(url, 'CREATE DOMAIN moment AS timestamptz; ALTER TABLE api_keys ALTER expires_at TYPE moment');
    await ground.keys.revoke(apiKey.id);
    expect(await sql(url, 'SELECT expires_at = revoked_at AS ended FROM api_keys')).toEqual([
      { ended: true },
    ]);
  });

  it.each([
    ['a text that is no number', "PERFORM 'x'::int"],
    ['a number that is too large', 'PERFORM 2147483647 + 1'],
    ['an untranslatable character', "RAISE EXCEPTION USING ERRCODE = '22P05'"],
  ])('of all keys of an owner is an error, and not an empty list, if a trigger fails on %s', async (_, failing) => {
    const { url, ground } = await bootOnOwn();
    const userId = await createUser(url);
    await ground.keys.create({ userId, name: 'ci' });
    await sql(
      url,
      `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${failing}; RETURN NEW; END $$;
       CREATE TRIGGER fail BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION fail()`,
    );
    await expect(ground.keys.revokeAll({ userId })).rejects.toMatchObject({
      code: 'KEY_STORE_UNAVAILABLE',
    });
    for (const nobody of ['x', '9'.repeat(19), '00000000-0000-0000-0000-000000000000'])
      expect(await ground.keys.revokeAll({ userId: nobody })).toEqual([]);
  });

  it('says that a key is revoked whatever the time of that', async () => {
    const { url, ground } = await bootOnOwn();
    const { apiKey } = await ground.keys.create({ userId: await createUser(url), name: 'ci' });
    for (const time of ['infinity', '-infinity', '0044-03-15 BC']) {
      await sql(url, 'UPDATE api_keys SET revoked_at = $1', [time]);
      const revoked = await ground.keys.revoke(apiKey.id);
      expect(revoked?.apiKey?.stateAt()).toBe('revoked');
      expect(JSON.parse(JSON.stringify(revoked?.apiKey)).revokedAt).toEqual(expect.any(String));
    }
  });

  it('tells which keys made the ended one, also beyond the whole numbers of JavaScript', async () => {
    const { url, ground } = await bootOnOwn();
    const { apiKey } = await ground.keys.create({ userId: await createUser(url), name: 'ci' });
    await sql(url, `UPDATE api_keys SET ancestor_ids = '{3,9007199254740993}'`);
    const revoked = await ground.keys.revoke(apiKey.id);
    expect(revoked?.apiKey?.ancestorIds).toEqual(['3', '9007199254740993']);
  });

  it('ends all keys that a key created, and a deletion removes a key, even if a value is unreadable', async () => {
    const { url, ground } = await bootOnOwn();
    const userId = await createUser(url);
    const { apiKey } = await ground.keys.create({ userId, name: 'ci' });
    await ground.keys.create({ userId, name: 'made' }, { apiKey });
    await sql(url, `ALTER TABLE api_keys ALTER quota TYPE numeric; UPDATE api_keys SET quota = 'NaN'`);
    const ended = await ground.keys.revoke(apiKey.id, { descendants: true });
    expect(ended?.descendants).toMatchObject([{ name: 'made', quota: null }]);
    expect(await ground.keys.delete(apiKey.id)).toBe(true);
  });
});

it('a key with two rows in the table, one of them revoked, is refused', async () => {
  const { url, ground } = await bootOnOwn();
  const { key, apiKey } = await ground.keys.create({ userId: await createUser(url), name: 'ci' });
  await sql(
    url,
    `ALTER TABLE api_keys RENAME TO former; CREATE TABLE api_keys AS TABLE former;
     INSERT INTO api_keys SELECT * FROM former; UPDATE api_keys SET id = 900 WHERE ctid = '(0,2)'`,
  );
  await ground.keys.revoke(apiKey.id);
  await expect(ground.keys.authenticate(key)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
});

it('no trigger depends on a column, so that other migrations can change every column', async () => {
  const rows = await sql(
    await createMigratedDatabase(),
    `SELECT refobjid::regclass FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND refclassid = 'pg_class'::regclass AND refobjsubid > 0`,
  );
  expect(rows).toEqual([]);
});

describe('A session that updated users before the table of users changed', () => {
  it.each(
    each({
      'id becomes numeric': 'ALTER TABLE users ALTER id TYPE numeric',
      'a column is added that is no jsonb': `ALTER TABLE users ADD own json DEFAULT '"\\u0000"'`,
      'both happens': `ALTER TABLE users ADD own text, ALTER id TYPE numeric`,
    }),
  )('updates a user, and the change is notified, after %s', async (_, change) => {
    const url = await createMigratedDatabase();
    const userId = await createUser(url);
    const [session, hearing] = [await connect(url), await Hearing.of(url)];
    try {
      await session.query('UPDATE users SET email = email || 1');
      await hearing.told();
      await sql(url, change);
      await session.query('UPDATE users SET email = email || 2');
      expect(await hearing.told()).toEqual([`u:${userId}`]);
    } finally {
      await Promise.all([session.end(), hearing.end()]);
    }
  });
});

/** A schema of another tenant: tables with our names, and a clock and an operator of its own. */
const TENANT = `CREATE SCHEMA tenant;
  CREATE TABLE tenant.api_key_windows (LIKE public.api_key_windows INCLUDING ALL);
  CREATE TABLE tenant.api_key_quotas (LIKE public.api_key_quotas INCLUDING ALL);
  CREATE TABLE tenant.api_key_silent_changes (LIKE public.api_key_silent_changes INCLUDING ALL);
  CREATE FUNCTION tenant.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$;
  CREATE FUNCTION tenant.yes(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
  CREATE OPERATOR tenant.= (FUNCTION = tenant.yes, LEFTARG = bigint, RIGHTARG = bigint)`;

const COUNTS = {
  nestjs_api_key_take: `SELECT granted[1] FROM public.nestjs_api_key_take('k', 2, 60000, '{1}', '{1}')`,
  nestjs_api_key_take_together: `SELECT granted FROM public.nestjs_api_key_take_together('{k}', '{2}', '{60000}', 1, 1)`,
  nestjs_api_key_spend: `SELECT granted[1] FROM public.nestjs_api_key_spend(7, 2, 'day', '{1}', '{1}')`,
  nestjs_api_key_spend_together: `SELECT granted FROM public.nestjs_api_key_spend_together('{7}', '{2}', '{day}', 1, 1)`,
};

describe('A counting function', () => {
  it.each(
    each(COUNTS),
  )('%s counts in its own table with any search path of the session', async (_, count) => {
    const url = await createMigratedDatabase();
    await sql(url, TENANT);
    const session = await connect(url);
    const granted: number[] = [];
    await session.query(
      'CREATE TEMP TABLE api_key_windows (key text); CREATE TEMP TABLE api_key_quotas (key_id bigint)',
    );
    for (const path of ['public', 'tenant, public', "''", 'pg_temp, tenant, pg_catalog']) {
      await session.query(`SET search_path = ${path}`);
      const { rows } = await session.query(count);
      granted.push(rows[0].granted);
    }
    await session.end();
    expect(granted).toEqual([1, 1, 0, 0]);
  });

  it.each([
    ['nestjs_api_key_take', 'ALTER TABLE api_key_windows ALTER cost TYPE bigint[]'],
    ['nestjs_api_key_take_together', 'ALTER TABLE api_key_windows ALTER cost TYPE bigint[]'],
    ['nestjs_api_key_spend', 'ALTER TABLE api_key_quotas ALTER used TYPE numeric'],
    ['nestjs_api_key_spend_together', 'ALTER TABLE api_key_quotas ALTER used TYPE numeric, ADD first text'],
  ] as const)('%s continues to count in a session that counted before a column changed its type', async (name, change) => {
    const url = await createMigratedDatabase();
    const session = await connect(url);
    const granted: number[] = [];
    for (let i = 0; i < 3; i++) {
      granted.push((await session.query(COUNTS[name])).rows[0].granted);
      if (i === 0) await sql(url, change);
    }
    await session.end();
    expect(granted).toEqual([1, 1, 0]);
  });
});

it('a change of any column is notified, except of the times of the last use and of the last change', () =>
  withSession(async (session, hearing) => {
    const { rows } = await session.query(
      `SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
       WHERE attrelid = 'api_keys'::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('id', 'user_id')`,
    );
    const other: Readonly<Record<string, string>> = {
      'timestamp with time zone': `'2001-01-01'`,
      bigint: '817',
      integer: '817',
      'bigint[]': `'{817}'`,
      'text[]': `'{other}'`,
      'cidr[]': `'{10.0.0.0/8}'`,
      jsonb: `'[817]'`,
      'character varying': `'other'`,
    };
    const untold: string[] = [];
    for (const { name, type } of rows) {
      await session.query(`UPDATE api_keys SET ${name} = ${other[type]} WHERE id = 1`);
      if ((await hearing.told()).length === 0) untold.push(name);
    }
    expect(untold.sort()).toEqual(['last_used_at', 'updated_at']);
  }));

it('a change is notified, or marked if it cannot be notified, with any search path of the session', () =>
  withSession(async (session, hearing, url) => {
    await sql(url, TENANT);
    for (const path of ['tenant', "''", 'pg_temp, tenant, pg_catalog']) {
      await session.query(`SET search_path = ${path}`);
      await session.query('UPDATE public.api_keys SET rate_limit = rate_limit + 1 WHERE id = 1');
      expect(await hearing.told()).toEqual(['1']);
    }
    await session.query(`BEGIN; SET LOCAL nestjs_api_key.silent = 'on'; DELETE FROM public.api_keys; COMMIT`);
    expect(await sql(url, 'SELECT 1 FROM public.api_key_silent_changes')).toHaveLength(1);
  }));

it('functions of an earlier version are migrated to those of a new database', async () => {
  const functions = (url: string) =>
    sql(
      url,
      `SELECT pg_get_functiondef(oid) AS it FROM pg_proc WHERE proname LIKE 'nestjs_api_key%' ORDER BY proname`,
    );
  const url = await createMigratedDatabase();
  const fresh = await functions(url);
  for (const { it } of fresh)
    await sql(
      url,
      String(it)
        .replace(/AS \$function\$[\s\S]*/, (body) => body.replace(/BEGIN/, 'BEGIN /* earlier */'))
        .replace(/^ SET search_path.*$/m, ''),
    );
  await sql(url, `DELETE FROM migrations WHERE name ~ '^(SurviveTableChanges|DisableKeys)'`);
  expect(await functions(url)).not.toEqual(fresh);
  const dataSource = await keysDataSource(url, { migrations: apiKeyMigrations() });
  expect(await runMigrations(dataSource)).toEqual([
    'SurviveTableChanges1764720000000',
    'DisableKeys1764806400000',
  ]);
  await dataSource.destroy();
  expect(await functions(url)).toEqual(fresh);
});
