import { Pool } from 'pg';
import { inUtf8 } from './utf8';

it('a statement that cannot be sent in UTF-8, because its connection is broken, is an error', async () => {
  const pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL });
  pool.on('error', () => {});
  const client = await pool.connect();
  client.on('error', () => {});
  await client.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {});
  const ask = jest.fn();
  const error = await new Promise((told) => inUtf8(client, ask, told));
  expect(error).toBeInstanceOf(Error);
  expect(ask).not.toHaveBeenCalled();
  client.release(true);
  await pool.end();
});
