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

describe('if all connections are in use', () => {
  let taken: PoolClient;

  beforeEach(async () => {
    taken = await pool.connect();
  });

  it('look-ups are sent in one statement on the next free connection, each value once, and each caller is notified when', async () => {
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

  it('a hundred look-ups are sent in one statement, and further ones on another connection', async () => {
    const connections = connectionsOf();
    const askings = Array.from({ length: 201 }, (_, i) => ask(connections, String(i)));
    await turn();
    expect(pool.waitingCount).toBe(3);
    taken.release();
    await Promise.all(askings);
    expect(statements.map(({ length }) => length)).toEqual([100, 100, 1]);
  });

  it('a look-up that arrives while a statement runs waits for the next statement', async () => {
    const connections = connectionsOf();
    const first = ask(connections, 'a', () => askings.push(ask(connections, 'b')));
    const askings: Promise<readonly string[]>[] = [];
    taken.release();
    await first;
    await Promise.all(askings);
    expect(statements).toEqual([['a'], ['b']]);
  });

  it('look-ups that timed out are removed from the batch, and new ones take their places', async () => {
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

  it('a look-up without a waiting caller is not sent', async () => {
    const sent = jest.fn();
    await expect(ask(connectionsOf({ deadlineMs: 20 }), 'a', sent)).rejects.toMatchObject({
      code: 'ETIMEDOUT',
    });
    taken.release();
    expect(await ask(connectionsOf(), 'b')).toEqual(['b']);
    expect(sent).not.toHaveBeenCalled();
  });

  it('a failure of the statement reaches every look-up in it', async () => {
    const connections = connectionsOf(PATIENT, 'SELECT 1 / 0 AS found WHERE $1 = $1');
    const askings = ['a', 'b'].map((value) => ask(connections, value));
    taken.release();
    const outcomes = await Promise.allSettled(askings);
    expect(outcomes).toMatchObject(Array(2).fill({ reason: { code: '22012' } }));
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });
});

describe('if connections are free', () => {
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

  /**
   * Asks so often, each in a turn of its own, while none is answered yet; what is found once all
   * are.
   */
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

  it('look-ups of one event-loop turn are sent in one statement', async () => {
    const connections = connectionsOf();
    const askings = ['a', 'b', 'c'].map((value) => ask(connections, value));
    expect(await Promise.all(askings)).toEqual(Array(3).fill(['a', 'b', 'c']));
    expect([statements.length, pool.totalCount]).toEqual([1, 1]);
  });

  it('successive look-ups get one connection each, either an idle or a new one', async () => {
    const connections = connectionsOf(PATIENT, LOCKED);
    for (const count of [2, CONNECTIONS]) {
      statements = [];
      expect(await askInTurns(connections, count)).toEqual(
        Array.from({ length: count }, (_, i) => [String(i)]),
      );
      expect([statements.length, pool.totalCount]).toEqual([count, count]);
    }
  });

  it('look-ups beyond the number of connections wait for the first free one', async () => {
    const connections = connectionsOf(PATIENT, LOCKED);
    await askInTurns(connections, CONNECTIONS);
    statements = [];
    await askInTurns(connections, CONNECTIONS + 2);
    expect(statements).toEqual([['0'], ['1'], ['2'], ['3'], ['4'], ['5', '6']]);
  });

  it('look-ups whose prepared statement was lost behind a pooler are answered', async () => {
    const connections = connectionsOf(PATIENT, LOCKED);
    await askInTurns(connections, CONNECTIONS);
    const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => pool.connect()));
    await Promise.all(clients.map((client) => client.query('DEALLOCATE ALL')));
    for (const client of clients) client.release();
    statements = [];
    expect(await askInTurns(connections, CONNECTIONS)).toHaveLength(CONNECTIONS);
  });
});

it('a look-up without a waiting caller is cancelled in PostgreSQL too, even while it waits for a lock', async () => {
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
  it('has one listener for its end', async () => {
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

  it('to an unreachable server fails every look-up that waits for it', async () => {
    const there = pool;
    pool = new Pool({ host: '127.0.0.1', port: 1, max: 1 });
    const connections = connectionsOf();
    const outcomes = await Promise.allSettled(['a', 'b'].map((value) => ask(connections, value)));
    expect(outcomes).toMatchObject(Array(2).fill({ reason: { code: 'ECONNREFUSED' } }));
    await pool.end();
    pool = there;
  });

  it('that hangs while it is opened does not delay a look-up if another connection is free', async () => {
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

  it('of a reopened data source does not serve look-ups from before the close', async () => {
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
  ])('that is released inside a transaction is destroyed: %s', async (begin) => {
    const forgetful = await pool.connect();
    await forgetful.query(begin).catch(() => {});
    await until(() => forgetful.getTransactionStatus() !== 'I');
    const { processID } = forgetful as unknown as { readonly processID: number };
    forgetful.release();
    const connections = connectionsOf(PATIENT, "SELECT pg_backend_pid()::text AS found WHERE '' <> ALL ($1)");
    expect(await ask(connections, 'a')).not.toEqual([String(processID)]);
  });

  it('whose password function fails makes the key store unavailable', async () => {
    const connect = (done: (error: Error) => void) => done(new Error('no credentials from any provider'));
    const master = { idleCount: 0, totalCount: 0, options: { max: 1 }, connect };
    await expect(ask(connectionsOf(PATIENT, ECHO, { master }), 'a')).rejects.toMatchObject({
      code: 'ECONNECT',
      message: 'no connection: no credentials from any provider',
    });
  });

  it('is refused if the data source is closed or is being closed', async () => {
    const driver: { master: Pool | undefined } = { master: pool };
    const ofDriver = () => new SharedConnections(databaseOf(driver), PATIENT, () => fail('nothing goes out'));
    const closing = ofDriver().find(['a'], noop);
    driver.master = undefined;
    await expect(closing).rejects.toThrow('the data source is closed');
    await expect(ofDriver().find(['a'], noop)).rejects.toThrow('the data source is closed');
  });

  it('that PostgreSQL ends has its look-up sent again, three times in total, but not the look-up that waits behind it', async () => {
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

  it('that breaks has its look-up sent again on another connection', async () => {
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

describe('a look-up that times out', () => {
  const PATIENCE_MS = 5_000;
  const turns = async () => {
    for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  };

  beforeEach(() =>
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask', 'performance', 'Date'] }),
  );
  afterEach(() => jest.useRealTimers());

  /**
   * One asking of a statement that takes as long as a lock is held, given up after its deadline.
   */
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

  it('keeps its connection if the answer arrives within five more seconds', async () => {
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

  it('loses its connection if no answer arrives, and other look-ups use a new one', async () => {
    const holder = await lateAsking();
    expect(pool.totalCount).toBe(1);
    jest.advanceTimersByTime(PATIENCE_MS);
    await until(() => pool.totalCount === 0);
    expect(await ask(connectionsOf(), 'a')).toEqual(['a']);
    await holder.end();
    await until(() => pool.idleCount === 1);
  });

  it('blocks its connection until the cancellation is finished, even if the answer arrives earlier', async () => {
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
