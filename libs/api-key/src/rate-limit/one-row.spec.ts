import { Pool } from 'pg';
import type { DataSource } from 'typeorm';
import { OneRow } from './one-row';

const PATIENCE_MS = 60_000;

let pool: Pool;

beforeEach(() => {
  pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
});
afterEach(() => pool.end());

function rowOf<Row extends object>(text: string): OneRow<Row> {
  return new OneRow({ driver: { master: pool } } as unknown as DataSource, 'test', () => text);
}

it('a statement that a pooler has lost is sent again without a name, and so is each one after it', async () => {
  const row = rowOf<{ found: string }>('SELECT $1::text AS found');
  expect(await row.ask(['a'], PATIENCE_MS)).toEqual({ found: 'a' });
  await pool.query('DEALLOCATE ALL');
  expect(await row.ask(['b'], PATIENCE_MS)).toEqual({ found: 'b' });
  await row.ask(['c'], PATIENCE_MS);
  const { rows } = await pool.query('SELECT name FROM pg_prepared_statements');
  expect(rows).toEqual([]);
});

it('any other error is handed on', async () => {
  await expect(rowOf('SELECT 1 / $1::int AS found').ask([0], PATIENCE_MS)).rejects.toThrow(
    'division by zero',
  );
});

it('no row is an error, for a hit that nobody counted must not pass', async () => {
  await expect(rowOf('SELECT 1 WHERE $1').ask([false], PATIENCE_MS)).rejects.toThrow('counted nothing');
});

it('what PostgreSQL does not answer in time is an error', async () => {
  await expect(rowOf('SELECT pg_sleep(600) WHERE $1').ask([true], 50)).rejects.toThrow('timeout');
  await pool.query('SELECT').catch(() => {});
});
