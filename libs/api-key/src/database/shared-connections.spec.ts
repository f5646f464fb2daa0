import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { Client, Pool, type PoolClient } from 'pg';
import type { DataSource } from 'typeorm';
import { until } from '../../../../test/support/until';
import { Database } from './database';
import { PreparedSelect } from './prepared-statement';
import { type Patience, SharedConnections } from './shared-connections';
import { StatementCanceller } from './statement-canceller';

const ECHO = 'SELECT found FROM unnest($1::text[]) AS found';
const PATIENT = { deadlineMs: 60_000 };
const noop = () => {};
const turn = () => new Promise(setImmediate);
let pool: Pool;
/** The values of each statement that went out. */
let statements: (readonly string[])[];

beforeEach(() => {
  statements = [];
  pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
});
afterEach(() => pool.end());

const databaseOf = (driver: object) => new Database({ driver } as unknown as DataSource);

/** Askings on the pool, each answered with all that its statement found. */
function connectionsOf(
  patience: Patience = PATIENT,
  text = ECHO,
  driver: object = { master: pool, postgres: { Client } },
  cancelling = (cancel: () => Promise<void>) => cancel(),
): SharedConnections<readonly string[]> {
  const database = databaseOf(driver);
  const select = new PreparedSelect('test', () => text);
  const canceller = new StatementCanceller(() => database.sideClient('test cancel'));
  return new SharedConnections(database, patience, (client, values, answered) => {
    statements.push(values);
    select.send(client, values, (error, rows) =>
      answered(
        error,
        rows?.map(({ found }) => found as string),
      ),
    );
    return () => cancelling(() => canceller.cancel(client));
  });
}

const ask = async (
  connections: SharedConnections<readonly string[]>,
  values: string | readonly string[],
  sent: () => void = noop,
) => connections.find(typeof values === 'string' ? [values] : values, sent);

describe('where all connections are taken', () => {
  let taken: PoolClient;

  beforeEach(async () => {
    taken = await pool.connect();
  });

  it('askings go out together on the next one, each value once, and each is told when', async () => {
    const connections = connectionsOf();
    const sent = jest.fn();
    const askings = ['a', ['b', 'c'], 'a'].map((values) => ask(connections, values, sent));
    await turn();
    askings.push(ask(connections, 'c', sent));
    await turn();
    expect([sent.mock.calls.length, pool.waitingCount]).toEqual([0, 1]);
    taken.release();
    expect(await Promise.all(askings)).toEqual(Array(4).fill(['a', 'b', 'c']));
    expect(statements).toEqual([['a', 'b', 'c']]);
    expect(sent).toHaveBeenCalledTimes(4);
  });

  it('a hundred go out together, and the next ones on another', async () => {
    const connections = connectionsOf();
    const askings = Array.from({ length: 201 }, (_, i) => ask(connections, String(i)));
    await turn();
    expect(pool.waitingCount).toBe(3);
    taken.release();
    await Promise.all(askings);
    expect(statements.map(({ length }) => length)).toEqual([100, 100, 1]);
  });

  it('one that comes while a statement is under way waits for the next', async () => {
    const connections = connectionsOf();
    const first = ask(connections, 'a', () => askings.push(ask(connections, 'b')));
    const askings: Promise<readonly string[]>[] = [];
    taken.release();
    await first;
    await Promise.all(askings);
    expect(statements).toEqual([['a'], ['b']]);
  });

  it('those that are late leave the others, and their places to those that come', async () => {
    const impatient = connectionsOf({ deadlineMs: 20 });
    for (let i = 0; i < 3; i++)
      await Promise.all(
        Array.from({ length: 1_000 }, () =>
          expect(ask(impatient, 'a')).rejects.toThrow('PostgreSQL did not answer within 20 ms'),
        ),
      );
    expect(pool.waitingCount).toBe(10);
    taken.release();
    await until(() => pool.waitingCount === 0);
    expect([statements, pool.totalCount, pool.idleCount]).toEqual([[], 1, 1]);
  });

  it('one that nobody waits for any more does not go out', async () => {
    const sent = jest.fn();
    await expect(ask(connectionsOf({ deadlineMs: 20 }), 'a', sent)).rejects.toMatchObject({
      code: 'ETIMEDOUT',
    });
    taken.release();
    expect(await ask(connectionsOf(), 'b')).toEqual(['b']);
    expect(sent).not.toHaveBeenCalled();
  });

  it('all that went out together are told of a failure', async () => {
    const connections = connectionsOf(PATIENT, 'SELECT 1 / 0 AS found WHERE $1 = $1');
    const askings = ['a', 'b'].map((value) => ask(connections, value));
    taken.release();
    const outcomes = await Promise.allSettled(askings);
    expect(outcomes).toMatchObject(Array(2).fill({ reason: { code: '22012' } }));
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });
});

describe('where there are connections to have', () => {
  const CONNECTIONS = 5;
  const LOCK = process.pid;
  const LOCKED = `SELECT found FROM unnest($1::text[]) AS found, pg_advisory_xact_lock_shared(${LOCK})`;
  let holder: Client;

  beforeEach(async () => {
    await pool.end();
    pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: CONNECTIONS });
    holder = new Client({ connectionString: process.env.TEST_POSTGRES_URL });
    await holder.connect();
  });
  afterEach(() => holder.end());

  /** Asks so often, each in a turn of its own, while none is answered yet; what is found once all are. */
  async function askInTurns(connections: SharedConnections<readonly string[]>, count: number) {
    await holder.query('SELECT pg_advisory_lock($1)', [LOCK]);
    const askings: Promise<readonly string[]>[] = [];
    for (let i = 0; i < count; i++) {
      askings.push(ask(connections, String(i)));
      await turn();
    }
    await until(() => statements.length === Math.min(count, CONNECTIONS));
    await holder.query('SELECT pg_advisory_unlock($1)', [LOCK]);
    return Promise.all(askings);
  }

  it('those that come in one turn of the event loop go out together', async () => {
    const connections = connectionsOf();
    const askings = ['a', 'b', 'c'].map((value) => ask(connections, value));
    expect(await Promise.all(askings)).toEqual(Array(3).fill(['a', 'b', 'c']));
    expect([statements.length, pool.totalCount]).toEqual([1, 1]);
  });

  it('those that come one after the other have one each, whether it is idle or opened for it', async () => {
    const connections = connectionsOf(PATIENT, LOCKED);
    for (const count of [2, CONNECTIONS]) {
      statements = [];
      expect(await askInTurns(connections, count)).toEqual(
        Array.from({ length: count }, (_, i) => [String(i)]),
      );
      expect([statements.length, pool.totalCount]).toEqual([count, count]);
    }
  });

  it('those that are too many wait for the first that is free', async () => {
    const connections = connectionsOf(PATIENT, LOCKED);
    await askInTurns(connections, CONNECTIONS);
    statements = [];
    await askInTurns(connections, CONNECTIONS + 2);
    expect(statements).toEqual([['0'], ['1'], ['2'], ['3'], ['4'], ['5', '6']]);
  });

  it('behind a pooler that hands sessions around all whose prepared statement is gone are answered', async () => {
    const connections = connectionsOf(PATIENT, LOCKED);
    await askInTurns(connections, CONNECTIONS);
    const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => pool.connect()));
    await Promise.all(clients.map((client) => client.query('DEALLOCATE ALL')));
    for (const client of clients) client.release();
    statements = [];
    expect(await askInTurns(connections, CONNECTIONS)).toHaveLength(CONNECTIONS);
  });
});

it('a look-up that nobody waits for any more ends in PostgreSQL too, although the lock that it waits for is held on', async () => {
  const clients = [0, 1].map(() => new Client({ connectionString: process.env.TEST_POSTGRES_URL }));
  await Promise.all(clients.map((client) => client.connect()));
  const [locker, observer] = clients as [Client, Client];
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
    await ask(connectionsOf(), 'opens the connection');
    const connections = connectionsOf(
      { deadlineMs: 100, patienceMs: 10_000 },
      `SELECT id AS found FROM ${name} WHERE id = ANY ($1)`,
    );
    const asked = ask(connections, 'a').catch(String);
    await until(async () => (await waiting()) === 1);
    expect(await asked).toContain('did not answer within 100 ms');
    await until(async () => (await waiting()) === 0);
  } finally {
    await locker.query(`ROLLBACK; DROP TABLE ${name}`);
    await Promise.all(clients.map((client) => client.end()));
  }
});

describe('a connection', () => {
  it('is listened to once for its end', async () => {
    const connections = connectionsOf();
    await ask(connections, 'a');
    const client = await pool.connect();
    const listeners = client.listenerCount('error');
    client.release();
    await ask(connections, 'b');
    const again = await pool.connect();
    expect(again.listenerCount('error')).toBe(listeners);
    again.release();
  });

  it('to a server that is not there fails all that wait for it', async () => {
    const there = pool;
    pool = new Pool({ host: '127.0.0.1', port: 1, max: 1 });
    const connections = connectionsOf();
    const outcomes = await Promise.allSettled(['a', 'b'].map((value) => ask(connections, value)));
    expect(outcomes).toMatchObject(Array(2).fill({ reason: { code: 'ECONNREFUSED' } }));
    await pool.end();
    pool = there;
  });

  it('that is being opened, and hangs, keeps no one who comes when another is free', async () => {
    await pool.end();
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 2 });
    const healthy = await pool.connect();
    pool.options.host = '127.0.0.1';
    Object.assign(pool.options, {
      connectionString: `postgres://x@127.0.0.1:${(silent.address() as AddressInfo).port}/x`,
    });
    const connections = connectionsOf();
    const hangs = expect(ask(connections, 'hangs')).rejects.toBeDefined();
    await turn();
    expect(pool.totalCount).toBe(2);
    const next = ask(connections, 'next');
    await turn();
    healthy.release();
    expect(await next).toEqual(['next']);
    silent.close();
    for (const client of (pool as unknown as { _clients: Client[] })._clients)
      if (!(client as unknown as { _connected: boolean })._connected)
        (client as unknown as { connection: { stream: Socket } }).connection.stream.destroy(
          new Error('hung up'),
        );
    await hangs;
  });

  it('of a data source that was closed and is open again serves none who waited for one of before', async () => {
    const taken = await pool.connect();
    const driver = { master: pool };
    const connections = connectionsOf({ deadlineMs: 5_000 }, ECHO, driver);
    const before = expect(ask(connections, 'before')).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await turn();
    const again = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
    driver.master = again;
    const busy = await again.connect();
    const next = ask(connections, 'next');
    await turn();
    busy.release();
    expect(await next).toEqual(['next']);
    await before;
    await again.end();
    taken.release();
  });

  it.each([
    'BEGIN ISOLATION LEVEL REPEATABLE READ',
    'BEGIN; SELECT 1 / 0',
  ])('that was given back within a transaction is thrown away: %s', async (begin) => {
    const forgetful = await pool.connect();
    await forgetful.query(begin).catch(() => {});
    await until(() => forgetful.getTransactionStatus() !== 'I');
    const { processID } = forgetful as unknown as { readonly processID: number };
    forgetful.release();
    const connections = connectionsOf(PATIENT, "SELECT pg_backend_pid()::text AS found WHERE '' <> ALL ($1)");
    expect(await ask(connections, 'a')).not.toEqual([String(processID)]);
  });

  it('whose password the application cannot tell is a failure of the store', async () => {
    const connect = (done: (error: Error) => void) => done(new Error('no credentials from any provider'));
    const master = { idleCount: 0, totalCount: 0, options: { max: 1 }, connect };
    await expect(ask(connectionsOf(PATIENT, ECHO, { master }), 'a')).rejects.toMatchObject({
      code: 'ECONNECT',
      message: 'no connection: no credentials from any provider',
    });
  });

  it('is none to have where the data source is closed, or is being closed', async () => {
    const driver: { master: Pool | undefined } = { master: pool };
    const ofDriver = () => new SharedConnections(databaseOf(driver), PATIENT, () => fail('nothing goes out'));
    const closing = ofDriver().find(['a'], noop);
    driver.master = undefined;
    await expect(closing).rejects.toThrow('the data source is closed');
    await expect(ofDriver().find(['a'], noop)).rejects.toThrow('the data source is closed');
  });

  it('that PostgreSQL ends has its asking sent again, three times in all, and not the one that waits behind it', async () => {
    const connections = connectionsOf(
      PATIENT,
      `SELECT CASE WHEN 'end' = ANY ($1::text[]) THEN pg_terminate_backend(pg_backend_pid())::text END AS found`,
    );
    let next: Promise<unknown> | undefined;
    const ended = ask(connections, 'end', () => {
      next ??= ask(connections, 'a');
    });
    await expect(ended).rejects.toMatchObject({ code: '57P01' });
    expect(await next).toEqual([null]);
    expect(statements.filter(([value]) => value === 'end')).toHaveLength(3);
  });

  it('that breaks has its asking sent again on another one', async () => {
    const connections = connectionsOf();
    await ask(connections, 'a');
    for (const code of ['EPIPE', 'ECONNRESET']) {
      const client = (pool as unknown as { readonly _clients: PoolClient[] })._clients[0];
      const stream = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection
        .stream;
      let next: Promise<unknown> | undefined;
      const broken = ask(connections, 'b', () => {
        next ??= ask(connections, 'c');
        stream.destroy(Object.assign(new Error(code), { code }));
      });
      expect(await broken).toEqual(['b']);
      expect(await next).toEqual(['c']);
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
  async function lateAsking(cancelling?: (cancel: () => Promise<void>) => Promise<void>) {
    const holder = new Client({ connectionString: process.env.TEST_POSTGRES_URL });
    await holder.connect();
    const lock = Math.floor(Math.random() * 2 ** 31);
    await holder.query('SELECT pg_advisory_lock($1)', [lock]);
    const connections = connectionsOf(
      { deadlineMs: 20 },
      `SELECT 'done' AS found FROM pg_advisory_xact_lock(($1::text[])[1]::bigint)`,
      undefined,
      cancelling,
    );
    let sent = () => {};
    const isSent = new Promise<void>((resolve) => {
      sent = resolve;
    });
    const failed = expect(ask(connections, String(lock), sent)).rejects.toMatchObject({
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
    await until(() => pool.totalCount === 0);
    expect(await ask(connectionsOf(), 'a')).toEqual(['a']);
    await holder.end();
    await until(() => pool.idleCount === 1);
  });

  it('keeps its connection from all others until the cancellation is through, though the answer comes meanwhile', async () => {
    let goOn = () => {};
    const before: number[] = [];
    const holder = await lateAsking(async (cancel) => {
      before.push(pool.totalCount);
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
      await cancel();
    });
    const late = await clientInUse();
    jest.advanceTimersByTime(PATIENCE_MS);
    await turns();
    await holder.end();
    const next = ask(connectionsOf(), 'a');
    await until(() => pool.waitingCount === 1);
    expect([before, pool.idleCount]).toEqual([[1], 0]);
    goOn();
    expect(await next).toEqual(['a']);
    expect(await clientInUse()).not.toBe(late);
  });

  /** The connection that the pool has. */
  const clientInUse = async () => (pool as unknown as { readonly _clients: unknown[] })._clients[0];
});
