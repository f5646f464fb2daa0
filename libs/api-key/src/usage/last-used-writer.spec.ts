import { Logger } from '@nestjs/common';
import { Client } from 'pg';
import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../../../test/support/database';
import { Database } from '../database/database';
import { LastUsedWriter } from './last-used-writer';

const HOUR_MS = 3_600_000;

let database: string;
let dataSource: DataSource;
let door: Database;
let writer: LastUsedWriter;
let now: number;
let keys: string[];

beforeEach(async () => {
  database = await createMigratedDatabase();
  dataSource = await keysDataSource(database);
  now = 10 * HOUR_MS;
  door = new Database(dataSource);
  writer = new LastUsedWriter(door, { usage: { lastUsedIntervalMs: HOUR_MS } }, () => now);
  const userId = await createUser(database);
  const rows = await sql<{ id: string }>(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix) SELECT ${userId}, 'ci', n::text, 'p' FROM generate_series(1, 3) AS n RETURNING id`,
  );
  keys = rows.map(({ id }) => id);
});
afterEach(() => dataSource.destroy());

/** Hours since the last use of each key; null where it was never used. */
const hours = async () =>
  (
    await sql<{ hours: number | null }>(
      database,
      'SELECT round(extract(epoch FROM now() - last_used_at) / 3600)::int AS hours FROM api_keys ORDER BY id',
    )
  ).map((row) => row.hours);
const key = (i: number) => keys[i] as string;

it('a use is written with its age, in one statement with other uses', async () => {
  writer.note(key(0));
  now += 2 * HOUR_MS;
  writer.note(key(1));
  now += HOUR_MS;
  const transaction = jest.spyOn(door, 'transaction');
  await writer.flush();
  expect(await hours()).toEqual([3, 1, null]);
  expect(transaction).toHaveBeenCalledTimes(1);
});

it('the last of several uses is written', async () => {
  writer.note(key(0));
  now += 2 * HOUR_MS;
  writer.note(key(0));
  now += HOUR_MS;
  await writer.flush();
  expect(await hours()).toEqual([1, null, null]);
});

it('each use is written once, and no statement is sent without uses', async () => {
  const transaction = jest.spyOn(door, 'transaction');
  await writer.flush();
  expect(transaction).not.toHaveBeenCalled();
  writer.note(key(0));
  await writer.flush();
  await writer.flush();
  expect(transaction).toHaveBeenCalledTimes(1);
});

it('a later use written by another instance is kept', async () => {
  writer.note(key(0));
  now += 2 * HOUR_MS;
  await sql(database, `UPDATE api_keys SET last_used_at = now() - interval '1 hour'`);
  await writer.flush();
  expect((await hours())[0]).toBe(1);
});

it('the use of a deleted key is dropped', async () => {
  await sql(database, `DELETE FROM api_keys WHERE id = ${key(0)}`);
  writer.note(key(0));
  await writer.flush();
  const transaction = jest.spyOn(door, 'transaction');
  await writer.flush();
  expect(transaction).not.toHaveBeenCalled();
});

describe('if a row is locked,', () => {
  let holder: Client;

  beforeEach(async () => {
    holder = new Client({ connectionString: database });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [key(0)]);
  });
  afterEach(() => holder.end());

  it('other rows are written, and the locked row is written next time with its age', async () => {
    for (const id of keys) writer.note(id);
    await writer.flush();
    expect(await hours()).toEqual([null, 0, 0]);
    await holder.query('COMMIT');
    now += 3 * HOUR_MS;
    await writer.flush();
    expect(await hours()).toEqual([3, 0, 0]);
  });

  it('a later use replaces the use that waits', async () => {
    writer.note(key(0));
    const writing = writer.flush();
    await Promise.resolve();
    now += 2 * HOUR_MS;
    writer.note(key(0));
    await writing;
    await holder.query('COMMIT');
    now += HOUR_MS;
    await writer.flush();
    expect(await hours()).toEqual([1, null, null]);
  });
});

describe('if a write fails,', () => {
  const away = (away: boolean) =>
    sql(
      database,
      away ? 'ALTER TABLE api_keys RENAME TO elsewhere' : 'ALTER TABLE elsewhere RENAME TO api_keys',
    );

  it('it is logged once, and all uses are written as soon as possible', async () => {
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
    writer.note(key(0));
    writer.note(key(2));
    await away(true);
    await writer.flush();
    await writer.flush();
    expect(warn.mock.calls).toEqual([[expect.stringMatching(/^last_used_at could not be written/)]]);
    warn.mockRestore();
    await away(false);
    now += 2 * HOUR_MS;
    await writer.flush();
    expect(await hours()).toEqual([2, null, 2]);
  });
});

it('the writer waits at most one second for a locked table', async () => {
  const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
  const holder = new Client({ connectionString: database });
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
  writer.note(key(0));
  await writer.flush();
  await holder.end();
  expect(warn.mock.calls).toEqual([[expect.stringMatching(/canceling statement due to lock timeout/)]]);
  warn.mockRestore();
});

it('a write without an answer is abandoned after ten seconds, and its uses are written next time', async () => {
  const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation();
  jest.spyOn(door, 'transaction').mockReturnValueOnce(new Promise(() => {}));
  writer.note(key(0));
  jest.useFakeTimers();
  const given = writer.flush();
  await jest.advanceTimersByTimeAsync(10_100);
  await given;
  jest.useRealTimers();
  expect(warn).toHaveBeenCalledTimes(1);
  expect(await hours()).toEqual([null, null, null]);
  await writer.flush();
  expect(await hours()).toEqual([0, null, null]);
  jest.restoreAllMocks();
});
