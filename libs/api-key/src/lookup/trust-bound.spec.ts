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

it('of two rows of a table without its key the longer time is waited for', async () => {
  await dataSource.query(
    'ALTER TABLE api_key_trust DROP CONSTRAINT api_key_trust_pkey; INSERT INTO api_key_trust (trust_ms) VALUES (60000), (500)',
  );
  expect(await waited()).toBe(60_620);
});

it('a row that says nothing is raised too', async () => {
  await dataSource.query(
    'ALTER TABLE api_key_trust ALTER trust_ms DROP NOT NULL; UPDATE api_key_trust SET trust_ms = NULL',
  );
  await raise(3_000);
  expect(await waited()).toBe(3_050);
});

it.each([
  ['the row was deleted', 'TRUNCATE api_key_trust'],
  ['the table was dropped', 'DROP TABLE api_key_trust'],
  [
    'the row says nothing',
    'ALTER TABLE api_key_trust ALTER trust_ms DROP NOT NULL; UPDATE api_key_trust SET trust_ms = NULL',
  ],
])('promises nothing if %s, because an instance may trust for longer than by default', async (_, change) => {
  await raise(60_000);
  await dataSource.query(change);
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
