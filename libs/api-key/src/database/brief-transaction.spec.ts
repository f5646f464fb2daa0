import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase } from '../../../../test/support/database';
import { briefTransaction } from './brief-transaction';
import { Database } from './database';
import { number, text } from './fields';

let dataSource: DataSource;
let database: Database;

beforeAll(async () => {
  dataSource = await keysDataSource(await createMigratedDatabase(), { poolSize: 1 });
  database = new Database(dataSource);
});

afterAll(() => dataSource.destroy());

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

it('waits one second for a lock, and PostgreSQL cancels its statements before ten seconds', async () => {
  const rows = await briefTransaction(database, (session) =>
    session.rows(
      `SELECT name, setting FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout') ORDER BY name`,
    ),
  );
  const settings = new Map(rows.map((row) => [text(row, 'name'), number(row, 'setting')]));
  expect(settings.get('lock_timeout')).toBe(1_000);
  expect(settings.get('statement_timeout')).toBeLessThanOrEqual(9_000);
});

it('writes nothing if it gets its connection after its deadline', async () => {
  const held = dataSource.createQueryRunner();
  await held.connect();
  const work = jest.fn();
  const now = performance.now();
  const given = expect(briefTransaction(database, work)).rejects.toThrow(
    'no connection: none was free in time',
  );
  jest.spyOn(performance, 'now').mockReturnValue(now + 20_000);
  await held.release();
  await given;
  expect(work).not.toHaveBeenCalled();
});
