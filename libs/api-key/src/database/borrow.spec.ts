import { Pool } from 'pg';
import { until } from '../../../../test/support/until';
import { borrow } from './borrow';

it('a connection that becomes free after the deadline goes back to the pool', async () => {
  const pool = new Pool({ connectionString: process.env.TEST_POSTGRES_URL, max: 1 });
  const held = await pool.connect();
  await expect(borrow(pool, 20)).rejects.toMatchObject({ code: 'ECONNECT' });
  expect(pool.waitingCount).toBe(1);
  held.release();
  await until(() => pool.waitingCount === 0 && pool.idleCount === 1);
  await pool.end();
});
