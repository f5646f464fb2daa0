import { Pool, type QueryConfig } from 'pg';
import type { DataSource } from 'typeorm';
import { OneRow } from './one-row';

let pool: Pool;

beforeEach(() => {
  pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
});
afterEach(() => pool.end());

/** On a pool that may answer late, where the machine is busy. */
function rowOf<Row extends object>(text: string): OneRow<Row> {
  const query = (config: QueryConfig) => pool.query({ ...config, query_timeout: 60_000 } as QueryConfig);
  return new OneRow({ driver: { master: { query } } } as unknown as DataSource, 'test', () => text);
}

it('a statement that a pooler has lost is sent again without a name, and so is each one after it', async () => {
  const row = rowOf<{ found: string }>('SELECT $1::text AS found');
  expect(await row.ask(['a'])).toEqual({ found: 'a' });
  await pool.query('DEALLOCATE ALL');
  expect(await row.ask(['b'])).toEqual({ found: 'b' });
  await row.ask(['c']);
  const { rows } = await pool.query('SELECT name FROM pg_prepared_statements');
  expect(rows).toEqual([]);
});

it('any other error is handed on', async () => {
  await expect(rowOf('SELECT 1 / $1::int AS found').ask([0])).rejects.toThrow('division by zero');
});

it('no row is an error, for a hit that nobody counted must not pass', async () => {
  await expect(rowOf('SELECT 1 WHERE $1').ask([false])).rejects.toThrow('counted nothing');
});
