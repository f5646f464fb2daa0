import { createHash } from 'node:crypto';
import {
  type ApiKey,
  ApiKeyAuthorityError,
  ApiKeyConflictError,
  type ApiKeyEvent,
  ApiKeyInputError,
  type ApiKeyOptions,
} from 'nestjs-api-key';
import { Client, type QueryConfig } from 'pg';
import { SCOPES as SAMPLE_SCOPES } from '../src/scopes';
import { bootApp, type TestApp } from './support/app';
import { createMigratedDatabase, createUser, sql } from './support/database';
import { runKeysHere } from './support/keys-here';
import { until } from './support/until';

const SCOPES = { ...SAMPLE_SCOPES, 'sales:read': 'Read sales' };
const [OLD, NEW] = ['orders:read', 'sales:read'];

let database: string;
let userId: string;
let app: TestApp;

async function boot(options: ApiKeyOptions = { scopes: SCOPES }): Promise<void> {
  app = await bootApp({ database, options });
}

beforeEach(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  await boot();
});

afterEach(() => app.close());

const create = (scopes: readonly string[], name = 'ci') =>
  app.keys.create({ userId, name, scopes: scopes as 'orders:read'[] });

/** Writes rows as another application would. A scope list is SQL. */
async function insert(scopes: string, count = 1): Promise<void> {
  await sql(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, scopes, created_at, updated_at)
     SELECT $1, 'row', md5(random()::text) || md5(random()::text), 'abcd1234', ${scopes}, now(), now()
     FROM generate_series(1, $2)`,
    [userId, count],
  );
}

const scopesInTable = async () =>
  (await sql<{ scopes: string }>(database, 'SELECT scopes::text AS scopes FROM api_keys ORDER BY id')).map(
    (row) => row.scopes,
  );
const holders = async () =>
  (await sql(database, 'SELECT FROM api_keys WHERE $1 = ANY (scopes)', [OLD])).length;
const updates = () =>
  sql<{ key_id: string; actor_type: string; details: object }>(
    database,
    `SELECT key_id, actor_type, details FROM api_key_events WHERE type = 'updated' ORDER BY id`,
  );

/** Returns undefined for an expected error, and throws any other. */
const refusedTo = (expected: new (...args: never[]) => Error) => (error: unknown) => {
  if (!(error instanceof expected)) throw error;
  return undefined;
};

/** A transaction of another client that is still open. */
async function openTransaction(statement: string, values: unknown[] = []): Promise<Client> {
  const client = new Client({ connectionString: database });
  await client.connect();
  await client.query('BEGIN');
  await client.query(statement, values);
  return client;
}

it('renameScope gives each key that has the old scope the new one in its place, without a duplicate', async () => {
  await create([OLD, 'orders:write']);
  await create(['orders:write', OLD]);
  await create([OLD, 'orders:write', NEW]);
  await create(['orders:write']);
  expect(await app.keys.renameScope(OLD, NEW)).toEqual({ keys: 3, losing: 0 });
  expect(await scopesInTable()).toEqual([
    '{sales:read,orders:write}',
    '{orders:write,sales:read}',
    '{sales:read,orders:write}',
    '{orders:write}',
  ]);
});

it('renameScope writes an event with the old and the new scopes of each changed key', async () => {
  const { apiKey } = await create([OLD, 'orders:write']);
  await create(['orders:write']);
  await app.keys.renameScope(OLD, NEW, {}, { actor: { type: 'cli', id: 'ada' } });
  const scopes = { old: [OLD, 'orders:write'], new: [NEW, 'orders:write'] };
  expect(await updates()).toEqual([
    { key_id: apiKey.id, actor_type: 'cli', details: { changes: { scopes } } },
  ]);
});

it('renameScope renames the scope of revoked and of expired keys', async () => {
  const [revoked, expired] = [await create([OLD]), await create([OLD])];
  await app.keys.revoke(revoked.apiKey.id);
  await sql(database, `UPDATE api_keys SET expires_at = now() - interval '1 day' WHERE id = $1`, [
    expired.apiKey.id,
  ]);
  expect(await app.keys.renameScope(OLD, NEW)).toMatchObject({ keys: 2 });
  expect(await holders()).toBe(0);
});

it('renameScope makes a cached key have the new scope', async () => {
  const { key } = await create([OLD]);
  expect(await app.keys.verify(key)).toMatchObject({ ok: true, apiKey: { scopes: [OLD] } });
  await app.keys.renameScope(OLD, NEW);
  expect(await app.keys.verify(key)).toMatchObject({ ok: true, apiKey: { scopes: [NEW] } });
});

it('another instance has the new scope of a cached key soon after renameScope', async () => {
  const other = await bootApp({ database, options: { scopes: SCOPES } });
  const { key } = await create([OLD]);
  await other.keys.verify(key);
  await app.keys.renameScope(OLD, NEW);
  await until(async () => {
    const found = await other.keys.verify(key);
    return found.ok && found.apiKey.hasScope(NEW);
  });
  await other.close();
});

it('renameScope leaves wildcards unchanged, and counts the valid keys that lack the new scope because of it', async () => {
  await create(['orders:*']);
  await create(['*']);
  await create(['orders:*', 'sales:*']);
  await create(['orders:*', NEW]);
  const ended = await create(['orders:*']);
  await app.keys.revoke(ended.apiKey.id);
  expect(await app.keys.renameScope(OLD, NEW)).toEqual({ keys: 0, losing: 1 });
  expect(await scopesInTable()).toEqual([
    '{orders:*}',
    '{*}',
    '{orders:*,sales:*}',
    '{orders:*,sales:read}',
    '{orders:*}',
  ]);
});

it('renameScope takes rows that Rails wrote: no list, a list of NULL, equal scopes', async () => {
  await insert('NULL');
  await insert(`'{NULL}'`);
  await insert(`'{orders:read,NULL,orders:read,x y}'`);
  await insert(`'{Orders:Read}'`);
  expect(await app.keys.renameScope(OLD, NEW)).toEqual({ keys: 1, losing: 0 });
  expect(await scopesInTable()).toEqual([null, '{NULL}', '{sales:read,NULL,"x y"}', '{Orders:Read}']);
});

it.each([
  ['varchar(40)[]'],
  ['varchar(40)[] COLLATE "und-x-icu"'],
])('renameScope works on a column of type %s', async (type) => {
  await app.close();
  await insert(`'{orders:read,a}'`);
  await sql(database, `ALTER TABLE api_keys ALTER COLUMN scopes TYPE ${type}`);
  await boot();
  expect(await app.keys.renameScope(OLD, NEW)).toMatchObject({ keys: 1 });
  expect(await scopesInTable()).toEqual(['{sales:read,a}']);
});

it('renameScope can rename a scope that keys must not have any more, also one that is not valid', async () => {
  await insert(`'{read orders}'`);
  expect(await app.keys.renameScope('read orders', NEW)).toMatchObject({ keys: 1 });
});

it('renameScope renames a wildcard to a wildcard', async () => {
  await create(['orders:*']);
  expect(await app.keys.renameScope('orders:*', 'sales:*')).toMatchObject({ keys: 1 });
  expect(await scopesInTable()).toEqual(['{sales:*}']);
});

it.each([
  ['orders:*', '*'],
  ['orders:lines:*', 'orders:*'],
  ['orders:read', 'orders:*'],
])('renameScope refuses to rename %s to the wildcard %s, which would grant more', async (from, to) => {
  await app.close();
  await boot({});
  await create([from]);
  await expect(app.keys.renameScope(from, to as never)).rejects.toThrow(
    `"${to}" is a wildcard and would grant more than "${from}": give it with update`,
  );
  expect(await scopesInTable()).toEqual([`{${from}}`]);
});

it('renameScope changes nothing when it is repeated', async () => {
  await create([OLD]);
  await app.keys.renameScope(OLD, NEW);
  expect(await app.keys.renameScope(OLD, NEW)).toEqual({ keys: 0, losing: 0 });
  expect(await updates()).toHaveLength(1);
});

describe('renameScope refuses', () => {
  it.each<[string, unknown, unknown, RegExp]>([
    ['a new scope outside of the catalogue', OLD, 'sales:reed', /"sales:reed" is not in the catalogue/],
    ['a new scope that is not valid', OLD, 'sales read', /printable ASCII/],
    ['a new scope that is missing', OLD, undefined, /printable ASCII/],
    ['the same scope', OLD, OLD, /must be another/],
    ['an empty old scope', '', NEW, /the old scope must be text/],
    ['an old scope with NUL', 'a\0', NEW, /the old scope must be text/],
    ['an old scope that is no text', 5, NEW, /the old scope must be text/],
    ['a wildcard for a single scope', OLD, 'sales:*', /is a wildcard and would grant more/],
  ])('%s', async (_, from, to, words) => {
    await create([OLD]);
    const refused = expect(app.keys.renameScope(from as string, to as string)).rejects;
    await refused.toThrow(ApiKeyInputError);
    await expect(app.keys.renameScope(from as string, to as string)).rejects.toThrow(words);
    expect(await holders()).toBe(1);
  });

  it.each([
    ['an acting key'],
    ['an acting owner'],
    ['an acting key that is undefined'],
  ])('%s', async (who) => {
    const { apiKey } = await create([OLD]);
    const acting = {
      'an acting key': { apiKey },
      'an acting owner': { userId },
      'an acting key that is undefined': { apiKey: undefined },
    }[who];
    await expect(app.keys.renameScope(OLD, NEW, {}, acting as object)).rejects.toThrow(ApiKeyInputError);
    expect(await holders()).toBe(1);
  });
});

it('renameScope reads a large table in batches, and reports its progress', async () => {
  await insert(`'{orders:read}'`, 1_100);
  await insert(`'{orders:write}'`, 1_100);
  const progress: { read: number; keys: number }[] = [];
  expect(await app.keys.renameScope(OLD, NEW, { onProgress: (at) => progress.push(at) })).toMatchObject({
    keys: 1_100,
  });
  expect(progress.slice(0, 3)).toEqual([
    { read: 1_000, keys: 1_000 },
    { read: 2_000, keys: 1_100 },
    { read: 2_200, keys: 1_100 },
  ]);
  expect(await holders()).toBe(0);
  expect(await updates()).toHaveLength(1_100);
});

it('renameScope keeps the batches before a failure, and a second call renames the rest', async () => {
  await insert(`'{orders:read}'`, 1_500);
  const stop = new Error('stopped by the caller');
  const onProgress = () => {
    throw stop;
  };
  await expect(app.keys.renameScope(OLD, NEW, { onProgress })).rejects.toBe(stop);
  expect(await holders()).toBe(500);
  expect(await app.keys.renameScope(OLD, NEW)).toMatchObject({ keys: 500 });
  expect(await updates()).toHaveLength(1_500);
});

it('renameScope renames the successor of a key that is rotated meanwhile', async () => {
  const { apiKey } = await create([OLD]);
  await create([OLD]);
  const rotation = await openTransaction('SELECT FROM api_keys WHERE id = $1 FOR NO KEY UPDATE', [apiKey.id]);
  await rotation.query(
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, scopes, replaces_id, created_at, updated_at)
     SELECT user_id, name, md5('successor'), key_prefix, scopes, id, now(), now() FROM api_keys WHERE id = $1`,
    [apiKey.id],
  );
  const renamed = app.keys.renameScope(OLD, NEW);
  await until(async () => (await holders()) === 1);
  await rotation.query('COMMIT');
  expect(await renamed).toMatchObject({ keys: 3 });
  expect(await holders()).toBe(0);
  await rotation.end();
});

it('no key has the old scope after renameScope beside many rotations and updates', async () => {
  const created = await Promise.all(Array.from({ length: 12 }, () => create([OLD])));
  const changes = created.map(({ apiKey }, i) =>
    i % 2 === 0 ? app.keys.rotate(apiKey.id) : app.keys.update(apiKey.id, { name: 'renamed' }),
  );
  await Promise.all([...changes, app.keys.renameScope(OLD, NEW)]);
  expect(await holders()).toBe(0);
  expect(await scopesInTable()).toHaveLength(18);
});

it('no key has the old scope after renameScope beside keys that make and rotate other keys', async () => {
  const makers = await Promise.all(Array.from({ length: 4 }, () => create([OLD, NEW])));
  let isRenamed = false;
  let made = 0;
  const makeKeys = async (maker: ApiKey) => {
    for (let last = maker; !isRenamed; ) {
      const fields = { userId, name: 'child', scopes: [OLD, NEW] as 'orders:read'[] };
      const child = await app.keys.create(fields, { apiKey: last }).catch(refusedTo(ApiKeyAuthorityError));
      const next = await app.keys.rotate(last.id, { overlapSeconds: 60 }, { apiKey: last });
      made += child ? 1 : 0;
      last = next?.apiKey ?? last;
    }
  };
  const making = Promise.all(makers.map(({ apiKey }) => makeKeys(apiKey)));
  await until(() => made > 20);
  const { keys } = await app.keys.renameScope(OLD, NEW);
  isRenamed = true;
  await making;
  expect(keys).toBeGreaterThan(20);
  expect(await holders()).toBe(0);
});

it('renameScope reads each batch by the primary key, and never the whole table', async () => {
  await insert(`'{orders:write}'`, 5_000);
  await sql(database, 'ANALYZE api_keys');
  const query = jest.spyOn(Client.prototype, 'query');
  await app.keys.renameScope(OLD, NEW);
  const sent = query.mock.calls.map(([config]) => config as unknown as QueryConfig<unknown[]>);
  query.mockRestore();
  const batches = sent.filter(({ text }) => text?.includes('AS holders'));
  expect(batches).toHaveLength(5);
  for (const { text, values } of batches) {
    const plan = await sql<{ 'QUERY PLAN': string }>(database, `EXPLAIN ${text}`, values);
    expect(plan.map((line) => line['QUERY PLAN']).join('\n')).not.toMatch(/Seq Scan|Sort/);
  }
});

it('renameScope does not undo a change of the scopes that it waited for', async () => {
  const { apiKey } = await create([OLD]);
  const change = await openTransaction(`UPDATE api_keys SET scopes = '{orders:write}' WHERE id = $1`, [
    apiKey.id,
  ]);
  const renamed = app.keys.renameScope(OLD, NEW);
  await until(async () => {
    const waiting = await sql(
      database,
      'SELECT FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0',
    );
    return waiting.length > 0;
  });
  await change.query('COMMIT');
  expect(await renamed).toMatchObject({ keys: 0 });
  expect(await scopesInTable()).toEqual(['{orders:write}']);
  await change.end();
});

it('renameScope fails with a conflict if keys keep getting the old scope', async () => {
  await create([OLD]);
  await sql(
    database,
    `CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO api_keys (user_id, name, key_digest, key_prefix, scopes, created_at, updated_at)
       SELECT user_id, 'again', md5(random()::text) || md5(random()::text), key_prefix, '{orders:read}', now(), now()
       FROM api_keys WHERE id = NEW.id; RETURN NULL; END $$;
     CREATE TRIGGER again AFTER UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION again()`,
  );
  await expect(app.keys.renameScope(OLD, NEW)).rejects.toThrow(ApiKeyConflictError);
  await expect(app.keys.renameScope(OLD, NEW)).rejects.toThrow(/keys still get the scope "orders:read"/);
});

it.each([
  ['undoes the renaming', 'NEW.scopes := OLD.scopes; RETURN NEW'],
  ['suppresses the update', 'RETURN NULL'],
  ['drops the new scope', `NEW.scopes := '{}'; RETURN NEW`],
])('renameScope fails if a trigger %s', async (_, body) => {
  await create([OLD]);
  await sql(
    database,
    `CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body}; END $$;
     CREATE TRIGGER meddle BEFORE UPDATE ON api_keys FOR EACH ROW EXECUTE FUNCTION meddle()`,
  );
  await expect(app.keys.renameScope(OLD, NEW)).rejects.toMatchObject({ code: 'KEY_STORE_UNAVAILABLE' });
  expect(await updates()).toEqual([]);
  expect(await holders()).toBe(1);
});

it('renameScope refuses a scope that is longer than its column, and changes nothing', async () => {
  await app.close();
  await insert(`'{a}'`);
  await sql(database, 'ALTER TABLE api_keys ALTER COLUMN scopes TYPE varchar(5)[]');
  await boot();
  await expect(app.keys.renameScope('a', NEW)).rejects.toThrow(ApiKeyInputError);
  expect(await scopesInTable()).toEqual(['{a}']);
});

it('renameScope renames the scope of a key whose other columns cannot be read', async () => {
  await app.close();
  await insert(`'{orders:read}'`);
  await sql(database, `ALTER TABLE api_keys ALTER COLUMN rate_limit TYPE text USING 'many';`);
  await boot();
  expect(await app.keys.renameScope(OLD, NEW)).toMatchObject({ keys: 1 });
});

it('renameScope sends the events to the sink of option audit.changes', async () => {
  await app.close();
  const seen: ApiKeyEvent[] = [];
  await boot({ audit: { changes: { record: (events) => void seen.push(...events) } } });
  const { apiKey } = await create([OLD]);
  await app.keys.renameScope(OLD, 'any:scope');
  await until(() => seen.length === 2);
  expect(seen[1]).toMatchObject({ type: 'updated', keyId: apiKey.id, actor: { type: 'system' } });
});

describe('keys rename-scope', () => {
  const keys = (...args: string[]) => runKeysHere(app, ['rename-scope', ...args]);

  it('prints how many keys were renamed, and how many lack the new scope because of a wildcard', async () => {
    await create([OLD]);
    await create(['orders:*']);
    expect(await keys(OLD, NEW)).toEqual({
      code: 0,
      stdout:
        'Keys with sales:read instead of orders:read: 1.\nKeys that have orders:read only through a wildcard, and lack sales:read: 1. They are unchanged.\n',
      stderr: '',
    });
    const [event] = await updates();
    expect(event).toMatchObject({ actor_type: 'cli' });
  });

  it('says so if no key has the old scope', async () => {
    expect((await keys(OLD, NEW)).stdout).toBe('No key has orders:read.\n');
  });

  it('masks a key or a digest that is given instead of a scope', async () => {
    await app.close();
    await boot({});
    const { key } = await create([OLD]);
    const digest = createHash('sha256').update(key).digest('hex');
    for (const given of [key, digest])
      for (const args of [
        [given, NEW],
        [given, NEW, '--json'],
        [OLD, given],
        [given, OLD],
      ]) {
        const { stdout, stderr } = await keys(...args);
        expect(stdout + stderr).toContain('...');
        expect(stdout + stderr).not.toContain(given.slice(12, 40));
      }
  });

  it('prints one JSON document with --json', async () => {
    await create([OLD]);
    const { code, stdout, stderr } = await keys(OLD, NEW, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ from: OLD, to: NEW, keys: 1, losing: 0 });
  });

  it.each([
    ['no new scope', [OLD]],
    ['three scopes', [OLD, NEW, 'x']],
    ['a new scope outside of the catalogue', [OLD, 'sales:reed']],
    ['the same scope twice', [OLD, OLD]],
  ])('exits with 2 and one line for %s', async (_, args) => {
    const { code, stdout, stderr } = await keys(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error: .*\. Help: keys rename-scope --help\n$/);
  });
});
