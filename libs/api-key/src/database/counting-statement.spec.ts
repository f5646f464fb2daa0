import { Pool } from 'pg';
import type { DataSource } from 'typeorm';
import { CountingStatement, IS_READ_COMMITTED } from './counting-statement';
import { Database } from './database';
import { Tables } from './tables';

const PATIENCE_MS = 60_000;

let pool: Pool;

beforeEach(() => {
  pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
});
afterEach(() => pool.end());

function statementOf(text: string, master = pool): CountingStatement {
  const database = new Database({ driver: { master } } as unknown as DataSource);
  jest.spyOn(database, 'locate').mockResolvedValue();
  jest.spyOn(database, 'tables', 'get').mockReturnValue(new Tables(null));
  return new CountingStatement(database, 'test', () => `${text} AND ${IS_READ_COMMITTED}`);
}

it('a prepared statement that a pooler lost is sent again without a name, and so is each later one', async () => {
  const statement = statementOf('SELECT $1::text AS found WHERE true');
  expect(await statement.ask(['a'], PATIENCE_MS)).toEqual({ found: 'a' });
  await pool.query('DEALLOCATE ALL');
  expect(await statement.ask(['b'], PATIENCE_MS)).toEqual({ found: 'b' });
  await statement.ask(['c'], PATIENCE_MS);
  const { rows } = await pool.query('SELECT name FROM pg_prepared_statements');
  expect(rows).toEqual([]);
});

it('two prepared statements that a pooler lost at the same time are both sent again', async () => {
  const two = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 2 });
  const statement = statementOf('SELECT $1::text AS found WHERE true', two);
  const askBoth = () => Promise.all(['a', 'b'].map((value) => statement.ask([value], PATIENCE_MS)));
  try {
    await askBoth();
    const clients = await Promise.all([two.connect(), two.connect()]);
    for (const client of clients) await client.query('DEALLOCATE ALL');
    for (const client of clients) client.release();
    expect(await askBoth()).toEqual([{ found: 'a' }, { found: 'b' }]);
  } finally {
    await two.end();
  }
});

it('a statement after the data source was closed is a failure of the connection', async () => {
  const statement = new CountingStatement(
    new Database({ driver: {} } as DataSource),
    'test',
    () => 'SELECT 1',
  );
  await expect(statement.ask([], PATIENCE_MS)).rejects.toMatchObject({
    code: 'ECONNECT',
    message: expect.stringContaining('the data source is closed'),
  });
});

it('any other error is thrown', async () => {
  await expect(statementOf('SELECT 1 / $1::int AS found WHERE true').ask([0], PATIENCE_MS)).rejects.toThrow(
    'division by zero',
  );
});

it('a result without a row is an error, because an uncounted hit must not pass', async () => {
  await expect(statementOf('SELECT 1 WHERE $1::bool').ask([false], PATIENCE_MS)).rejects.toThrow(
    'counted nothing',
  );
});

it('a statement that PostgreSQL does not answer in time is an error', async () => {
  await expect(statementOf('SELECT pg_sleep(600) WHERE $1::bool').ask([true], 50)).rejects.toThrow('timeout');
  await pool.query('SELECT').catch(() => {});
});

it.each([
  'repeatable read',
  'serializable',
])('a statement runs once, and in READ COMMITTED even if the default of the session is %s', async (isolation) => {
  await pool.query(`SET default_transaction_isolation = '${isolation}'`);
  const counted = statementOf(
    "SELECT nextval('counted')::text AS count, current_setting('transaction_isolation') AS isolation WHERE true",
  );
  await pool.query('CREATE TEMPORARY SEQUENCE counted');
  expect(await counted.ask([], PATIENCE_MS)).toEqual({ count: '1', isolation: 'read committed' });
  expect(await counted.ask([], PATIENCE_MS)).toEqual({ count: '2', isolation: 'read committed' });
});
