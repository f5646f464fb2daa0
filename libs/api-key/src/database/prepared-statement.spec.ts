import { Pool, type PoolClient } from 'pg';
import { statementName } from './names';
import { PreparedSelect } from './prepared-statement';

let pool: Pool;
let client: PoolClient;

beforeEach(async () => {
  pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
  client = await pool.connect();
});
afterEach(async () => {
  client.release();
  await pool.end();
});

const ECHO = 'SELECT $1::text AS found';
const selectOf = (text = ECHO) => new PreparedSelect('test', () => text);
const ask = (select: PreparedSelect, value: unknown, on = client) =>
  new Promise((resolve, reject) =>
    select.send(on, value, (error, rows) => (error ? reject(error) : resolve(rows))),
  );
const nameOf = (version: number, text = ECHO) => `${statementName('test', text)}_${version}`;
const preparedNames = async (on = client) =>
  (await on.query<{ name: string }>('SELECT name FROM pg_prepared_statements ORDER BY name')).rows.map(
    ({ name }) => name,
  );

it('a statement is prepared once per connection, and executed with each value', async () => {
  const select = selectOf();
  expect(await ask(select, 'a')).toEqual([{ found: 'a' }]);
  expect(await ask(select, 'b')).toEqual([{ found: 'b' }]);
  expect(await preparedNames()).toEqual([nameOf(1)]);
});

it('statements with different texts have different names, so that a shared session never mixes them up', async () => {
  const other = "SELECT 'other' AS found WHERE $1 <> ''";
  await ask(selectOf(other), 'a');
  expect(await ask(selectOf(), 'a')).toEqual([{ found: 'a' }]);
  expect(await preparedNames()).toEqual([nameOf(1), nameOf(1, other)].sort());
});

it('a statement whose types changed is prepared again under another name', async () => {
  await client.query('CREATE TEMPORARY TABLE named (name varchar)');
  await client.query(`INSERT INTO named VALUES ('a')`);
  const text = 'SELECT name AS found FROM named WHERE name = $1';
  const select = selectOf(text);
  await ask(select, 'a');
  await client.query('ALTER TABLE named ALTER name TYPE text');
  expect(await ask(select, 'a')).toEqual([{ found: 'a' }]);
  expect(await ask(select, 'a')).toEqual([{ found: 'a' }]);
  expect(await preparedNames()).toEqual([nameOf(1, text), nameOf(2, text)]);
});

it('a statement that a pooler deallocated is sent without a name from then on', async () => {
  const select = selectOf();
  await ask(select, 'a');
  await client.query('DEALLOCATE ALL');
  expect(await ask(select, 'b')).toEqual([{ found: 'b' }]);
  expect(await ask(select, 'c')).toEqual([{ found: 'c' }]);
  expect(await preparedNames()).toEqual([]);
});

it('an error of a statement without a name is thrown', async () => {
  const select = selectOf('SELECT (1 / $1::int)::text AS found');
  await client.query(`PREPARE ${nameOf(1, select.text)} AS SELECT 1`);
  await ask(select, 1);
  await expect(ask(select, 0)).rejects.toThrow('division by zero');
});

it('a statement that PostgreSQL ends because of a conflict is sent again', async () => {
  await client.query(`CREATE TEMPORARY SEQUENCE calls;
    CREATE FUNCTION pg_temp.conflict_once() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
      IF nextval('calls') = 1 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF;
      RETURN 'found'; END $$`);
  const select = selectOf('SELECT pg_temp.conflict_once() AS found WHERE $1::bool');
  expect(await ask(select, true)).toEqual([{ found: 'found' }]);
});

it('a statement is sent without a name if its name is already used in the session', async () => {
  await client.query(`PREPARE ${nameOf(1)} AS SELECT 1`);
  expect(await ask(selectOf(), 'a')).toEqual([{ found: 'a' }]);
  expect(await preparedNames()).toEqual([nameOf(1)]);
});

it.each([
  ['0A000', 2],
  ['26000', 2],
  ['42P05', 2],
  ['22012', 1],
])('a statement that fails with %s is sent at most %i times, and the session stays usable', async (code, times) => {
  await client.query('CREATE TEMPORARY SEQUENCE IF NOT EXISTS asked');
  await client.query(
    `CREATE OR REPLACE FUNCTION pg_temp.fail() RETURNS text LANGUAGE plpgsql AS
     $$ BEGIN PERFORM nextval('asked'); RAISE EXCEPTION 'failed' USING ERRCODE = '${code}'; END $$`,
  );
  const { rows: before } = await client.query('SELECT pg_backend_pid() AS pid');
  await expect(ask(selectOf('SELECT pg_temp.fail() AS found WHERE $1 = $1'), 'a')).rejects.toMatchObject({
    code,
  });
  const { rows: after } = await client.query(
    'SELECT last_value::int AS times, pg_backend_pid() AS pid FROM asked',
  );
  expect(after).toEqual([{ times, pid: before[0].pid }]);
});

it('sessions that lost a statement at the same time send it again, and all prepare it under one new name', async () => {
  const sessions = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 3 });
  const clients = await Promise.all([1, 2, 3].map(() => sessions.connect()));
  const text = 'SELECT name AS found FROM lost WHERE name = $1';
  const select = selectOf(text);
  const askAll = () => Promise.all(clients.map((each) => ask(select, 'a', each)));
  for (const each of clients) await each.query('CREATE TEMPORARY TABLE lost (name varchar)');
  await askAll();
  for (const each of clients) await each.query('ALTER TABLE lost ALTER name TYPE text');
  expect(await askAll()).toEqual([[], [], []]);
  for (const each of clients) expect(await preparedNames(each)).toEqual([nameOf(1, text), nameOf(2, text)]);
  for (const each of clients) each.release();
  await sessions.end();
});
