import { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../../../test/support/database';
import { until } from '../../../../test/support/until';
import { Database } from './database';
import { text } from './fields';

let url: string;
let dataSource: DataSource;
let database: Database;

beforeEach(async () => {
  url = await createMigratedDatabase();
  dataSource = await keysDataSource(url);
  database = new Database(dataSource);
});
afterEach(async () => {
  if (dataSource.isInitialized) await dataSource.destroy();
});

const names = async () =>
  (await sql<{ name: string }>(url, 'SELECT name FROM api_keys ORDER BY id')).map(({ name }) => name);
const rename = 'UPDATE api_keys SET name = $1 WHERE key_digest = $2';

async function insertKeys(...digests: string[]): Promise<void> {
  const userId = await createUser(url);
  for (const digest of digests)
    await sql(url, `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) VALUES ($1, 'k', $2, 'p')`, [
      userId,
      digest,
    ]);
}

describe('a transaction', () => {
  it('is repeated as a whole if PostgreSQL ends it because of a deadlock', async () => {
    await insertKeys('a', 'b');
    let first = 0;
    const turns: (() => void)[] = [];
    const both = Promise.all(
      [0, 1].map(
        (i) =>
          new Promise<void>((resolve) => {
            turns[i] = resolve;
          }),
      ),
    );
    const change = (i: number, order: readonly string[]) =>
      database.transaction(async (session) => {
        await session.run(rename, [`by ${i}`, order[0]]);
        turns[i]?.();
        if (first++ < 2) await both;
        await session.run(rename, [`by ${i}`, order[1]]);
      });
    await Promise.all([change(0, ['a', 'b']), change(1, ['b', 'a'])]);
    expect(new Set(await names()).size).toBe(1);
  });

  it('throws if PostgreSQL turns its commit into a rollback', async () => {
    await insertKeys('a');
    const work = database.transaction(async (session) => {
      await session.run(rename, ['renamed', 'a']);
      await session.run('SELECT 1 / 0').catch(() => {});
    });
    await expect(work).rejects.toThrow('rolled the transaction back');
    expect(await names()).toEqual(['k']);
  });

  it('is rolled back if it fails, and leaves its connection as it was', async () => {
    await insertKeys('a');
    const work = database.transaction(async (session) => {
      await session.run(rename, ['renamed', 'a']);
      throw new Error('no');
    });
    await expect(work).rejects.toThrow('no');
    expect(await names()).toEqual(['k']);
    expect(database.pool?.totalCount).toBe(1);
  });

  it('is rolled back at its end if it is a trial', async () => {
    await insertKeys('a');
    expect(
      await database.transaction((session) => session.run(rename, ['renamed', 'a']), { isTrial: true }),
    ).toBe(1);
    expect(await names()).toEqual(['k']);
  });

  it('is repeated on a new connection if a cached plan is older than an ALTER', async () => {
    await sql(
      url,
      `CREATE FUNCTION first_scope() RETURNS text LANGUAGE plpgsql AS $$
      DECLARE k api_keys; BEGIN SELECT * INTO k FROM api_keys LIMIT 1; RETURN k.name; END $$`,
    );
    await insertKeys('a');
    const read = () =>
      database.read(async (session) => text(await session.row('SELECT first_scope() AS name'), 'name'));
    expect(await read()).toBe('k');
    await sql(url, 'ALTER TABLE api_keys ALTER name TYPE text');
    expect(await read()).toBe('k');
  });

  it('is abandoned after its deadline if it waits for a lock', async () => {
    await insertKeys('a');
    const holder = new Client({ connectionString: url });
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE api_keys');
    const waiting = database.transaction((session) => session.run(rename, ['x', 'a']), { lockTimeoutMs: 50 });
    await expect(waiting).rejects.toMatchObject({ code: '55P03' });
    await holder.end();
  });

  it('throws an error with a code if the data source is closed', async () => {
    await database.locate();
    await dataSource.destroy();
    await expect(database.read(async () => 1)).rejects.toMatchObject({ code: 'ECONNECT' });
  });

  it('is refused on a replica', async () => {
    await database.locate();
    const work = jest.fn();
    const query = Client.prototype.query;
    const spy = jest.spyOn(Client.prototype, 'query').mockImplementation(function (
      this: Client,
      ...given: unknown[]
    ) {
      const [config] = given as [{ text?: string }];
      const asked = config.text?.replace('pg_catalog.pg_is_in_recovery()', 'true');
      return Reflect.apply(query as never, this, [
        asked ? { ...config, text: asked } : config,
        ...given.slice(1),
      ]);
    } as never);
    await expect(database.transaction(work)).rejects.toMatchObject({ code: 'EREPLICA' });
    spy.mockRestore();
    expect(work).not.toHaveBeenCalled();
  });

  it('ends if its statement is not answered in time, and its connection is not used again', async () => {
    await database.locate();
    const sleeping = database.transaction((session) => session.run('SELECT pg_sleep(600)'), {
      deadlineMs: 300,
    });
    await expect(sleeping).rejects.toMatchObject({ code: '57014' });
    await until(
      async () => (await database.read((session) => session.rows('SELECT 1::text AS one'))).length === 1,
    );
  });
});

it('a column that is not text is an error, even if the driver can read it', async () => {
  await expect(database.read((session) => session.rows('SELECT now() AS at'))).rejects.toThrow(
    'cast it to text in the statement',
  );
});

it('a warning is logged if a session finds the key table in another schema than the first connection', async () => {
  await sql(url, 'CREATE SCHEMA tenant; CREATE TABLE tenant.api_keys (LIKE api_keys)');
  database.pool?.on('acquire', (client) => void client.query('SET search_path TO tenant'));
  await database.locate();
  expect(database.tables.keys).toBe('"public"."api_keys"');
});

describe('a text with NUL', () => {
  it.each([
    ['alone', ['a\0b']],
    ['in a list', [['a', 'a\0b']]],
  ])('is an error before it is sent, because pg-native cuts the text at NUL: %s', async (_, values) => {
    const query = jest.spyOn(Client.prototype, 'query');
    const asking = database.read((session) => session.rows('SELECT $1::text[]::text AS all', values));
    await expect(asking).rejects.toMatchObject({ code: '22021' });
    const sent = query.mock.calls.map(([config]) => String((config as unknown as { text?: string }).text));
    query.mockRestore();
    expect(sent.filter((each) => each.includes('AS all'))).toEqual([]);
  });
});

it('a connection is used if its driver cannot report whether it is in a transaction', async () => {
  const telling = jest.spyOn(Client.prototype, 'getTransactionStatus').mockImplementation(() => {
    throw new TypeError('this.native.getTransactionStatus is not a function');
  });
  expect(await database.read((session) => session.rows('SELECT 1::text AS one'))).toEqual([{ one: '1' }]);
  telling.mockRestore();
});

it('a row that a statement must return is missing: an error, and never an empty row', async () => {
  await expect(
    database.read((session) => session.row('SELECT 1 WHERE false'), { kind: 'read', lanes: [] }),
  ).rejects.toThrow('PostgreSQL returned no row');
});
