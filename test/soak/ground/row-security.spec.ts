import { type ApiKeyService, PostgresThrottlerStorage } from 'nestjs-api-key';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { bootOn, type Ground, ONE_CONNECTION, poolOf, UNCACHED } from '../../support/ground';
import { patient } from '../../support/shared-storages';

const UNAVAILABLE = { code: 'KEY_STORE_UNAVAILABLE' };

const running: Ground[] = [];
const roles: { readonly database: string; readonly role: string }[] = [];

afterEach(async () => {
  for (const each of running.splice(0)) await each.close();
  for (const { database, role } of roles.splice(0).reverse())
    await sql(
      database,
      `REASSIGN OWNED BY "${role}" TO CURRENT_USER; DROP OWNED BY "${role}"; DROP ROLE "${role}"`,
    );
});

async function newRole(database: string, name: string): Promise<string> {
  const role = `${new URL(database).pathname.slice(1)}_${name}`;
  await sql(
    database,
    `CREATE ROLE "${role}" LOGIN PASSWORD 'secret'; GRANT ALL ON ALL TABLES IN SCHEMA public TO "${role}";
     GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "${role}"`,
  );
  roles.push({ database, role });
  return role;
}

function urlOf(database: string, role: string): string {
  const url = new URL(database);
  [url.username, url.password] = [role, 'secret'];
  return url.href;
}

/** A database, and an application on it whose one connection is of a role that owns nothing. */
async function start() {
  const database = await createMigratedDatabase();
  const userId = await createUser(database);
  const role = await newRole(database, 'app');
  const ground = await boot(urlOf(database, role));
  const { key, apiKey } = await ground.keys.create({ userId, name: 'ci' });
  return { database, userId, role, key, id: apiKey.id, ...ground };
}

async function boot(url: string): Promise<Ground> {
  const ground = await bootOn(url, { typeorm: ONE_CONNECTION, options: UNCACHED });
  running.push(ground);
  return ground;
}

/** The next statement of the application has a new session. */
async function renewConnection({ dataSource }: Pick<Ground, 'dataSource'>): Promise<void> {
  (await poolOf(dataSource).connect()).release(true);
}

async function leave({ dataSource }: Pick<Ground, 'dataSource'>, statement: string): Promise<void> {
  const client = await poolOf(dataSource).connect();
  await client.query(statement);
  client.release();
}

/** What an operator reads of a failure. */
async function causeOf(failing: Promise<unknown>): Promise<string> {
  const error = (await failing.then(
    () => new Error('nothing failed'),
    (reason: unknown) => reason,
  )) as Error;
  expect(error).toMatchObject(UNAVAILABLE);
  return String((error.cause as Error).message);
}

const hide = (database: string, table = 'api_keys') =>
  sql(database, `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`);

type Call = (keys: ApiKeyService, id: string, userId: string) => Promise<unknown>;

const CALLS: readonly (readonly [string, Call])[] = [
  ['revoke', (keys, id) => keys.revoke(id)],
  ['revoke with descendants', (keys, id) => keys.revoke(id, { descendants: true })],
  ['revokeAll', (keys, _, userId) => keys.revokeAll({ userId })],
  ['delete', (keys, id) => keys.delete(id)],
  ['rotate', (keys, id) => keys.rotate(id)],
  ['update', (keys, id) => keys.update(id, { name: 'new' })],
  ['get', (keys, id) => keys.get(id)],
  ['list', (keys) => keys.list()],
  ['prune', (keys) => keys.prune()],
  ['create', (keys, _, userId) => keys.create({ userId, name: 'next' })],
];

describe('an application whose role a row security policy hides all keys from', () => {
  it.each(CALLS)('gets an error that says what to do from %s, and not an empty answer', async (_, call) => {
    const { database, keys, id, userId } = await start();
    await hide(database);
    expect(await causeOf(call(keys, id, userId))).toMatch(/"?api_keys"?.*BYPASSRLS/);
  });

  it('gets an error from a change by the acting key, and not that this key is unknown', async () => {
    const { database, keys, id, userId } = await start();
    const actor = await keys.get(id);
    await hide(database);
    const creating = keys.create({ userId, name: 'made' }, actor ? { apiKey: actor } : {});
    await expect(creating).rejects.toMatchObject(UNAVAILABLE);
  });

  it('gets an error from a look-up, and not that the key is unknown', async () => {
    const { database, keys, key } = await start();
    await hide(database);
    await expect(keys.authenticate(key)).rejects.toMatchObject(UNAVAILABLE);
  });

  it('finds a visible key in the same look-up as a hidden key', async () => {
    const { database, keys, key, userId } = await start();
    const { key: hidden } = await keys.create({ userId, name: 'hidden' });
    await hide(database);
    await sql(database, `CREATE POLICY shown ON api_keys USING (name <> 'hidden')`);
    const [shown, other] = await Promise.allSettled([keys.verify(key), keys.verify(hidden)]);
    expect(shown).toMatchObject({ value: { ok: true } });
    expect(other).toMatchObject({ reason: UNAVAILABLE });
  });
});

describe('a role that other code left on a pooled connection by SET ROLE', () => {
  /** The application may take on a role that a policy hides all keys from. */
  async function startBesideHidden() {
    const ground = await start();
    const { database, role } = ground;
    const hidden = await newRole(database, 'hidden');
    await sql(
      database,
      `GRANT "${hidden}" TO "${role}"; ALTER TABLE api_keys OWNER TO "${role}"; ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY`,
    );
    return { ...ground, leaveRole: () => leave(ground, `SET ROLE "${hidden}"`), hidden };
  }

  it('does not prevent the revocation of a key', async () => {
    const { keys, key, id, leaveRole } = await startBesideHidden();
    await leaveRole();
    expect(await keys.revoke(id)).toMatchObject({ apiKey: { id } });
    expect(await keys.verify(key)).toEqual({ ok: false, reason: 'revoked' });
  });

  it('does not prevent the revocation of all keys of an owner', async () => {
    const { keys, id, userId, leaveRole } = await startBesideHidden();
    await leaveRole();
    expect(await keys.revokeAll({ userId })).toMatchObject([{ id }]);
  });

  it('does not make a key unknown', async () => {
    const { keys, key, leaveRole } = await startBesideHidden();
    await leaveRole();
    expect(await keys.verify(key)).toMatchObject({ ok: true });
  });

  it('does not hide a key in a list', async () => {
    const { keys, id, leaveRole } = await startBesideHidden();
    await leaveRole();
    expect((await keys.list()).items).toMatchObject([{ id }]);
  });

  it('does not prevent the start of an application', async () => {
    const { database, role, hidden } = await startBesideHidden();
    const ground = await bootOn(urlOf(database, role), {
      typeorm: ONE_CONNECTION,
      options: UNCACHED,
      prepare: (dataSource) => leave({ dataSource }, `SET ROLE "${hidden}"`),
    });
    running.push(ground);
    expect((await ground.keys.list()).items).toHaveLength(1);
  });

  it('makes a revocation an error that says what to do if each new session has it, by ALTER ROLE', async () => {
    const { database, keys, id, role, hidden, ...ground } = await startBesideHidden();
    await sql(database, `ALTER ROLE "${role}" SET role = '${hidden}'`);
    await renewConnection(ground);
    expect(await causeOf(keys.revoke(id))).toMatch(/SET ROLE/);
    expect(await sql(database, 'SELECT FROM api_keys WHERE revoked_at IS NOT NULL')).toEqual([]);
  });

  it('makes a revocation an error that says what to do if it may read nothing, and each new session has it', async () => {
    const { database, keys, id, role, ...ground } = await start();
    const nobody = await newRole(database, 'nobody');
    await sql(
      database,
      `REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "${nobody}"; GRANT "${nobody}" TO "${role}"; ALTER ROLE "${role}" SET role = '${nobody}'`,
    );
    await renewConnection(ground);
    expect(await causeOf(keys.revoke(id))).toMatch(/GRANT.*SET ROLE/);
    expect(await causeOf(keys.get(id))).toMatch(/GRANT/);
  });
});

describe('row security that is forced on the owner of the table', () => {
  it('makes a revocation an error and not "no such key"', async () => {
    const { database, keys, id, role } = await start();
    await sql(
      database,
      `ALTER TABLE api_keys OWNER TO "${role}"; ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY; ALTER TABLE api_keys FORCE ROW LEVEL SECURITY`,
    );
    expect(await causeOf(keys.revoke(id))).toMatch(/BYPASSRLS/);
  });

  it('does not affect the owner of the table if it is only enabled', async () => {
    const { database, keys, id, role } = await start();
    await sql(
      database,
      `ALTER TABLE api_keys OWNER TO "${role}"; ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY`,
    );
    expect(await keys.revoke(id)).toMatchObject({ apiKey: { id } });
  });
});

describe('row security on another table of the library', () => {
  it('makes revoke with everywhere an error if it hides how long instances trust their cache', async () => {
    const { database, keys, key, id } = await start();
    await hide(database, 'api_key_trust');
    expect(await causeOf(keys.revoke(id, { everywhere: true }))).toMatch(/api_key_trust/);
    expect(await keys.verify(key)).toMatchObject({ ok: false });
  });

  it('makes reading the audit trail an error instead of an empty list, and a revocation still succeeds', async () => {
    const { database, keys, key, id } = await start();
    await hide(database, 'api_key_events');
    expect(await causeOf(keys.events(id))).toMatch(/api_key_events/);
    expect(await keys.revoke(id)).toMatchObject({ apiKey: { id } });
    expect(await keys.verify(key)).toMatchObject({ ok: false });
  });

  it.each([
    'api_key_usage',
    'api_key_quotas',
  ])('makes the usage of a key an error instead of 0: %s', async (table) => {
    const { database, keys, id } = await start();
    await keys.update(id, { quota: { limit: 5, period: 'day' } });
    await hide(database, table);
    expect(await causeOf(keys.usage(id))).toMatch(new RegExp(table));
  });

  it('accepts no uncounted hit, even if a policy lets the role write rows that it cannot read', async () => {
    const { database, dataSource } = await start();
    await hide(database, 'api_key_windows');
    await sql(
      database,
      `CREATE POLICY writes ON api_key_windows FOR INSERT WITH CHECK (true);
       CREATE POLICY changes ON api_key_windows FOR UPDATE USING (true);
       CREATE POLICY reads ON api_key_windows FOR SELECT USING (false)`,
    );
    const storage = patient(new PostgresThrottlerStorage(dataSource));
    for (let i = 0; i < 3; i++)
      await expect(storage.hit('one', { limit: 1, windowMs: 60_000 }, 1)).rejects.toThrow(/BYPASSRLS/);
  });

  it('keeps a limit exact even if other code left a role on the connection that cannot read the counts', async () => {
    const { database, role, ...ground } = await start();
    const hidden = await newRole(database, 'hidden');
    await sql(database, `GRANT "${hidden}" TO "${role}"; ALTER TABLE api_key_windows OWNER TO "${role}"`);
    await hide(database, 'api_key_windows');
    const storage = patient(new PostgresThrottlerStorage(ground.dataSource));
    const passed: boolean[] = [];
    for (let i = 0; i < 3; i++) {
      await leave(ground, `SET ROLE "${hidden}"`);
      passed.push((await storage.hit('one', { limit: 2, windowMs: 600_000 }, 1)).passed);
    }
    expect(passed).toEqual([true, true, false]);
  });
});

describe('the boot', () => {
  it.each([
    'api_keys',
    'api_key_events',
    'api_key_trust',
    'api_key_silent_changes',
    'api_key_quotas',
    'api_key_windows',
    'api_key_usage',
  ])('stops, and says what to do, if row security is on for the role: %s', async (table) => {
    const { database, role } = await start();
    await hide(database, table);
    await expect(bootOn(urlOf(database, role), { options: UNCACHED })).rejects.toThrow(
      new RegExp(`"${table}".*"${role}".*BYPASSRLS`),
    );
  });

  it('goes on if the role bypasses row security', async () => {
    const { database, role, id } = await start();
    await hide(database);
    await sql(database, `ALTER ROLE "${role}" BYPASSRLS`);
    const { keys } = await boot(urlOf(database, role));
    expect(await keys.revoke(id)).toMatchObject({ apiKey: { id } });
  });
});

it('a trigger of the application reads a table with row security by its policies if its function says so', async () => {
  const { database, keys, id } = await start();
  await sql(
    database,
    `CREATE TABLE tenants (id int); INSERT INTO tenants VALUES (1), (2); GRANT ALL ON tenants TO PUBLIC;
     ALTER TABLE tenants ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON tenants USING (id = 1);
     CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN NEW.name := (SELECT count(*) FROM tenants); RETURN NEW; END $$;
     CREATE TRIGGER look BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION look()`,
  );
  expect(await causeOf(keys.revoke(id))).toMatch(/tenants.*SET row_security = on/);
  await sql(database, 'ALTER FUNCTION look() SET row_security = on');
  expect(await keys.revoke(id)).toMatchObject({ apiKey: { id, name: '1' } });
});
