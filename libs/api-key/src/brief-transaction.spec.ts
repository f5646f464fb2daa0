import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../test/support/data-source';
import { createMigratedDatabase } from '../../../test/support/database';
import { briefTransaction } from './brief-transaction';

let dataSource: DataSource;

beforeAll(async () => {
  dataSource = await keysDataSource(await createMigratedDatabase());
});

afterAll(() => dataSource.destroy());

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

it('waits a second for a lock, and PostgreSQL ends a statement before ten', async () => {
  const settings = await briefTransaction(dataSource, (manager) =>
    manager.query(
      `SELECT name, setting::int FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout') ORDER BY name`,
    ),
  );
  expect(settings).toEqual([
    { name: 'lock_timeout', setting: 1_000 },
    { name: 'statement_timeout', setting: expect.any(Number) },
  ]);
  expect(settings[1].setting).toBeLessThanOrEqual(9_000);
});

it('what got its connection only after it was given up is not written', async () => {
  const transaction = dataSource.transaction.bind(dataSource) as (work: never) => Promise<unknown>;
  let connect = () => {};
  const connected = new Promise<void>((resolve) => {
    connect = resolve;
  });
  let later: Promise<unknown> = Promise.resolve();
  jest.spyOn(dataSource, 'transaction').mockImplementationOnce((work: unknown) => {
    later = connected.then(() => transaction(work as never));
    return later as never;
  });
  jest.useFakeTimers();
  const work = jest.fn();
  const given = expect(briefTransaction(dataSource, work)).rejects.toThrow('no answer within 10000 ms');
  await jest.advanceTimersByTimeAsync(10_100);
  await given;
  jest.useRealTimers();
  const now = performance.now();
  jest.spyOn(performance, 'now').mockReturnValue(now + 20_000);
  connect();
  await expect(later).rejects.toThrow('no connection within 9000 ms');
  expect(work).not.toHaveBeenCalled();
});
