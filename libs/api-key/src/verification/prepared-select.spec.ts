import { Pool } from 'pg';
import type { DataSource } from 'typeorm';
import { PreparedSelect } from './prepared-select';

const WAITING = 3_000;
let pool: Pool;

beforeEach(() => {
  pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
});
afterEach(() => pool.end());

function selectWith(deadlineMs: number, maxWaiting: number): PreparedSelect<{ found: string }> {
  const dataSource = { driver: { master: pool } } as unknown as DataSource;
  return new PreparedSelect(dataSource, 'test', deadlineMs, maxWaiting, () => 'SELECT $1::text AS found');
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
  const select = selectWith(20, WAITING);
  expect(new Set(await askAtOnce(select))).toEqual(new Set(['PostgreSQL did not answer within 20 ms']));
  const patient = selectWith(30_000, WAITING);
  expect(await patient.rows('b', () => {})).toEqual([{ found: 'b' }]);
  expect([pool.totalCount, pool.waitingCount]).toEqual([1, 0]);
});

it('no more wait for a connection than may, also those that were given up', async () => {
  const outcomes = await askAtOnce(selectWith(20, 10));
  expect(outcomes.filter((outcome) => outcome.startsWith('PostgreSQL did not answer'))).toHaveLength(10);
  expect(outcomes.filter((outcome) => outcome.startsWith('too many'))).toHaveLength(WAITING - 10);
});
