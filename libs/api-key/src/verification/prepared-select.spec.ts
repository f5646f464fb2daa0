import type { Socket } from 'node:net';
import { Client, Pool, type PoolClient } from 'pg';
import type { DataSource } from 'typeorm';
import { until } from '../../../../test/support/until';
import { type Patience, PreparedSelect } from './prepared-select';

const WAITING = 3_000;
let pool: Pool;

beforeEach(() => {
  pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
});
afterEach(() => pool.end());

function selectWith(
  patience: Patience,
  text = 'SELECT $1::text AS found',
): PreparedSelect<{ found: string }> {
  const dataSource = { driver: { master: pool, postgres: { Client } } } as unknown as DataSource;
  return new PreparedSelect(dataSource, 'test', patience, () => text);
}

const selectOf = (statement?: string) => selectWith({ deadlineMs: 60_000, maxWaiting: WAITING }, statement);
const ask = (select: PreparedSelect<{ found: string }>, value: unknown, sent = () => {}) =>
  Promise.resolve(select.rows(value, sent));
const preparedNames = async () =>
  (await pool.query<{ name: string }>('SELECT name FROM pg_prepared_statements ORDER BY name')).rows.map(
    ({ name }) => name,
  );

/** So many askings while the only connection is taken; how each ended. */
async function askAtOnce(select: PreparedSelect<{ found: string }>) {
  const taken = await pool.connect();
  const askings = Array.from({ length: WAITING }, () => Promise.resolve(select.rows('a', () => {})));
  const outcomes = await Promise.allSettled(askings);
  taken.release();
  return outcomes.map((outcome) =>
    outcome.status === 'rejected' ? String(outcome.reason.message) : 'answered',
  );
}

it('any number of askings that came too late give the connection back, and the next is answered', async () => {
  const select = selectWith({ deadlineMs: 20, maxWaiting: WAITING });
  expect(new Set(await askAtOnce(select))).toEqual(new Set(['PostgreSQL did not answer within 20 ms']));
  const patient = selectWith({ deadlineMs: 30_000, maxWaiting: WAITING });
  expect(await patient.rows('b', () => {})).toEqual([{ found: 'b' }]);
  expect([pool.totalCount, pool.waitingCount]).toEqual([1, 0]);
});

it('no more wait for a connection than may, also those that were given up', async () => {
  const outcomes = await askAtOnce(selectWith({ deadlineMs: 20, maxWaiting: 10 }));
  expect(outcomes.filter((outcome) => outcome.startsWith('PostgreSQL did not answer'))).toHaveLength(10);
  expect(outcomes.filter((outcome) => outcome.startsWith('too many'))).toHaveLength(WAITING - 10);
});

describe('behind a pooler that hands sessions around', () => {
  const CONNECTIONS = 5;

  beforeEach(async () => {
    await pool.end();
    pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: CONNECTIONS });
  });

  /** Does something on each connection of the pool. */
  async function onEach(text: string): Promise<void> {
    const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => pool.connect()));
    await Promise.all(clients.map((client) => client.query(text)));
    for (const client of clients) client.release();
  }

  it('look-ups at once whose prepared statement is gone are all answered', async () => {
    const select = selectWith({ deadlineMs: 30_000, maxWaiting: 100 });
    const ask = () =>
      Promise.all(Array.from({ length: CONNECTIONS }, async () => select.rows('a', () => {})));
    await onEach('SELECT 1');
    await ask();
    await onEach('DEALLOCATE ALL');
    expect(await ask()).toEqual(Array(CONNECTIONS).fill([{ found: 'a' }]));
  });
});

it('a look-up that nobody waits for any more ends in PostgreSQL too, although the lock that it waits for is held on', async () => {
  const connections = [0, 1].map(() => new Client({ connectionString: process.env.TEST_POSTGRES_URL }));
  await Promise.all(connections.map((client) => client.connect()));
  const [locker, observer] = connections as [Client, Client];
  const name = `locked_${process.pid}`;
  const waiting = async () => {
    const { rows } = await observer.query(
      `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%FROM ${name}%'`,
    );
    return rows.length;
  };
  await locker.query(`CREATE TABLE ${name} (id text)`);
  try {
    await locker.query(`BEGIN; LOCK TABLE ${name}`);
    const select = selectWith(
      { deadlineMs: 100, maxWaiting: 10, patienceMs: 100 },
      `SELECT id AS found FROM ${name} WHERE id = $1`,
    );
    const asked = Promise.resolve(select.rows('a', () => {})).catch(String);
    await until(async () => (await waiting()) === 1);
    expect(await asked).toContain('did not answer within 100 ms');
    await until(async () => (await waiting()) === 0);
  } finally {
    await locker.query(`ROLLBACK; DROP TABLE ${name}`);
    await Promise.all(connections.map((client) => client.end()));
  }
});

describe('a statement', () => {
  it('is prepared once a connection, and asked with each value', async () => {
    const select = selectOf();
    expect(await ask(select, 'a')).toEqual([{ found: 'a' }]);
    expect(await ask(select, 'b')).toEqual([{ found: 'b' }]);
    expect(await preparedNames()).toEqual(['test_1']);
  });

  it('says when it goes out, and not before a connection is free', async () => {
    const taken = await pool.connect();
    const sent = jest.fn();
    const asking = ask(selectOf(), 'a', sent);
    await new Promise(setImmediate);
    expect(sent).not.toHaveBeenCalled();
    taken.release();
    await asking;
    expect(sent).toHaveBeenCalledTimes(1);
  });

  it('may be asked any number of times one after the other where one may wait', async () => {
    const select = selectWith({ deadlineMs: 60_000, maxWaiting: 1 });
    for (const value of ['a', 'b', 'c']) expect(await ask(select, value)).toEqual([{ found: value }]);
  });

  it('listens once on a connection for its end', async () => {
    const select = selectOf();
    await ask(select, 'a');
    const client = await pool.connect();
    const listeners = client.listenerCount('error');
    client.release();
    await ask(select, 'b');
    const again = await pool.connect();
    expect(again.listenerCount('error')).toBe(listeners);
    again.release();
  });

  it('of a server that is not there fails as the connection to it', async () => {
    const nowhere = new Pool({ host: '127.0.0.1', port: 1 });
    const dataSource = { driver: { master: nowhere } } as unknown as DataSource;
    const select = new PreparedSelect(
      dataSource,
      'test',
      { deadlineMs: 60_000, maxWaiting: WAITING },
      () => 'SELECT $1',
    );
    await expect(select.rows('a', () => {})).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await nowhere.end();
  });

  it('that nobody waits for any more does not go out', async () => {
    const taken = await pool.connect();
    const sent = jest.fn();
    await expect(selectWith({ deadlineMs: 20, maxWaiting: 1 }).rows('a', sent)).rejects.toMatchObject({
      code: 'ETIMEDOUT',
    });
    taken.release();
    expect(await ask(selectOf(), 'b')).toEqual([{ found: 'b' }]);
    expect(sent).not.toHaveBeenCalled();
  });

  it('whose types have changed is prepared anew, under another name', async () => {
    await pool.query('CREATE TEMPORARY TABLE named (name varchar)');
    await pool.query(`INSERT INTO named VALUES ('a')`);
    const select = selectOf('SELECT name AS found FROM named WHERE name = $1');
    await ask(select, 'a');
    await pool.query('ALTER TABLE named ALTER name TYPE text');
    expect(await ask(select, 'a')).toEqual([{ found: 'a' }]);
    expect(await ask(select, 'a')).toEqual([{ found: 'a' }]);
    expect(await preparedNames()).toEqual(['test_1', 'test_2']);
  });

  it('that a pooler has taken away is asked without a name from then on', async () => {
    const select = selectOf();
    await ask(select, 'a');
    await pool.query('DEALLOCATE ALL');
    expect(await ask(select, 'b')).toEqual([{ found: 'b' }]);
    expect(await ask(select, 'c')).toEqual([{ found: 'c' }]);
    expect(await preparedNames()).toEqual([]);
  });

  it('whose name another has taken in the session is asked without one', async () => {
    await pool.query('PREPARE test_1 AS SELECT 1');
    expect(await ask(selectOf(), 'a')).toEqual([{ found: 'a' }]);
    expect(await preparedNames()).toEqual(['test_1']);
  });

  it.each([
    ['0A000', 2],
    ['26000', 2],
    ['42P05', 2],
    ['22012', 1],
  ])('that fails with %s is asked %i times at most, and its connection is kept', async (code, times) => {
    await pool.query('CREATE TEMPORARY SEQUENCE IF NOT EXISTS asked');
    await pool.query(
      `CREATE OR REPLACE FUNCTION pg_temp.fail() RETURNS text LANGUAGE plpgsql AS
       $$ BEGIN PERFORM nextval('asked'); RAISE EXCEPTION 'failed' USING ERRCODE = '${code}'; END $$`,
    );
    const { rows: before } = await pool.query('SELECT pg_backend_pid() AS pid');
    await expect(ask(selectOf('SELECT pg_temp.fail() AS found WHERE $1 = $1'), 'a')).rejects.toMatchObject({
      code,
    });
    const { rows: after } = await pool.query(
      'SELECT last_value::int AS times, pg_backend_pid() AS pid FROM asked',
    );
    expect(after).toEqual([{ times, pid: before[0].pid }]);
  });

  it('that is asked on a connection that PostgreSQL ends fails, and the one that waits behind it does not', async () => {
    const select = selectOf(
      'SELECT CASE WHEN $1 THEN pg_terminate_backend(pg_backend_pid())::text END AS found',
    );
    const [ended, next] = [ask(select, true), ask(select, false)];
    await expect(ended).rejects.toMatchObject({ code: '57P01' });
    expect(await next).toEqual([{ found: null }]);
  });

  it('whose connection breaks fails, and the one that waits behind it does not', async () => {
    const select = selectOf();
    await ask(select, 'a');
    for (const code of ['EPIPE', 'ECONNRESET']) {
      const client = (pool as unknown as { readonly _clients: PoolClient[] })._clients[0];
      const stream = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection
        .stream;
      const [broken, next] = [ask(select, 'b'), ask(select, 'c')];
      const failed = expect(broken).rejects.toMatchObject({ code });
      stream.destroy(Object.assign(new Error(code), { code }));
      await failed;
      expect(await next).toEqual([{ found: 'c' }]);
    }
  });
});

describe('an asking that comes too late', () => {
  const PATIENCE_MS = 5_000;
  const turns = async () => {
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  };

  beforeEach(() =>
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask', 'performance', 'Date'] }),
  );
  afterEach(() => jest.useRealTimers());

  /** One asking of a statement that takes as long as a lock is held, given up after its deadline. */
  async function lateAsking() {
    const holder = new Client({ connectionString: process.env.TEST_POSTGRES_URL });
    await holder.connect();
    const lock = Math.floor(Math.random() * 2 ** 31);
    await holder.query('SELECT pg_advisory_lock($1)', [lock]);
    const select = selectWith(
      { deadlineMs: 20, maxWaiting: WAITING },
      `SELECT 'done' AS found FROM pg_advisory_xact_lock($1::bigint)`,
    );
    let sent = () => {};
    const isSent = new Promise<void>((resolve) => {
      sent = resolve;
    });
    const failed = expect(ask(select, lock, sent)).rejects.toMatchObject({
      code: 'ETIMEDOUT',
      message: 'PostgreSQL did not answer within 20 ms',
    });
    await isSent;
    for (let part = 0; part < 4; part++) {
      jest.advanceTimersByTime(5);
      await turns();
    }
    await failed;
    return holder;
  }

  it('keeps its connection where the answer comes within five seconds more', async () => {
    const holder = await lateAsking();
    const client = await clientInUse();
    jest.advanceTimersByTime(PATIENCE_MS - 1);
    await holder.end();
    await until(() => pool.idleCount === 1);
    jest.advanceTimersByTime(PATIENCE_MS);
    await turns();
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    expect(await clientInUse()).toBe(client);
  });

  it('loses it where none comes, and others are asked on a new one', async () => {
    const holder = await lateAsking();
    expect(pool.totalCount).toBe(1);
    jest.advanceTimersByTime(PATIENCE_MS);
    await turns();
    expect(pool.totalCount).toBe(0);
    expect(await ask(selectOf(), 'a')).toEqual([{ found: 'a' }]);
    await holder.end();
    await until(() => pool.idleCount === 1);
  });

  /** The connection that the pool has. */
  const clientInUse = async () => (pool as unknown as { readonly _clients: unknown[] })._clients[0];
});
