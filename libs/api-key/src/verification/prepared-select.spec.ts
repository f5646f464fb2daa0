import { Client, Pool } from 'pg';
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
