import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase } from '../../../../test/support/database';
import { Database } from '../database/database';
import { outliveTrust, raiseTrust } from './trust-bound';

jest.mock('node:timers/promises', () => ({
  ...jest.requireActual('node:timers/promises'),
  setTimeout: jest.fn(async () => {}),
}));

const NOW = 10_000;
let dataSource: DataSource;

beforeEach(async () => {
  dataSource = await keysDataSource(await createMigratedDatabase());
  jest.mocked(delay).mockClear();
});
afterEach(() => dataSource.destroy());

/** How long it waits, now or some time after the commit. */
async function waited(sinceCommitMs = 0): Promise<number | undefined> {
  const now = jest.spyOn(performance, 'now').mockReturnValue(NOW);
  try {
    await outliveTrust(new Database(dataSource), NOW - sinceCommitMs);
  } finally {
    now.mockRestore();
  }
  return jest.mocked(delay).mock.lastCall?.[0];
}

const raise = (trustMs: number) => dataSource.query(raiseTrust('api_key_trust'), [trustMs]);

it('the wait after a commit is the longest trust of any instance plus a margin for different clocks', async () => {
  await raise(3_000);
  expect(await waited()).toBe(3_050);
});

it('the time since the commit is part of the wait', async () => {
  await raise(3_000);
  expect(await waited(1_000)).toBe(2_050);
  expect(await waited(9_000)).toBe(0);
});

it('the wait is for the instance that trusts longest', async () => {
  await raise(3_000);
  await raise(1_000);
  expect(await waited()).toBe(3_050);
  await raise(4_000);
  expect(await waited()).toBe(4_060);
});

it('the wait is that of the default lease if the table does not exist', async () => {
  await dataSource.query('DROP TABLE api_key_trust');
  expect(await waited()).toBe(2_040);
});

it('the wait fails if the row was deleted, because an instance may trust for longer than by default', async () => {
  await raise(60_000);
  await dataSource.query('TRUNCATE api_key_trust');
  await expect(waited()).rejects.toMatchObject({
    code: 'NO_TRUST_BOUND',
    message: expect.stringMatching(/INSERT/),
  });
  expect(delay).not.toHaveBeenCalled();
});

it('the wait fails if the trust bound cannot be read for any other reason', async () => {
  await dataSource.query('ALTER TABLE api_key_trust RENAME trust_ms TO other');
  await expect(waited()).rejects.toThrow('trust_ms');
  expect(delay).not.toHaveBeenCalled();
});
