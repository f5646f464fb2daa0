import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { keysDataSource } from '../../../../test/support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../../../test/support/database';
import { watchStatements } from '../../../../test/support/statements';
import { Database } from '../database/database';
import { DigestWriter } from './digest-writer';

let database: string;
let userId: string;
let dataSource: DataSource;
let writer: DigestWriter;

beforeAll(async () => {
  database = await createMigratedDatabase();
  userId = await createUser(database);
  dataSource = await keysDataSource(database);
});

beforeEach(async () => {
  await sql(database, 'DELETE FROM api_keys');
  writer = new DigestWriter(new Database(dataSource));
});

afterAll(() => dataSource.destroy());

/** A key that is stored under a digest; its id. */
async function keyUnder(digest: string): Promise<string> {
  const [row] = await sql<{ id: string }>(
    database,
    `INSERT INTO api_keys (user_id, name, key_digest, key_prefix, created_at, updated_at)
     VALUES ($1, 'ci', $2, 'key_', now(), now()) RETURNING id::text`,
    [userId, digest],
  );
  return row?.id ?? '';
}

const digestOf = async (id: string) =>
  (await sql(database, 'SELECT key_digest FROM api_keys WHERE id = $1', [id]))[0]?.key_digest;

it('new digests are stored in one statement, one for each key', async () => {
  const ids = [await keyUnder('a'), await keyUnder('b')];
  const statements = watchStatements();
  for (const [i, id] of ids.entries()) writer.note(id, 'ab'.charAt(i), `new ${i}`);
  await writer.flush();
  await writer.flush();
  expect(statements.texts().filter((text) => /SET key_digest/.test(text))).toHaveLength(1);
  statements.restore();
  expect(await Promise.all(ids.map(digestOf))).toEqual(['new 0', 'new 1']);
});

it('a key whose digest was changed in the meantime stays unchanged', async () => {
  const id = await keyUnder('newer');
  writer.note(id, 'old', 'new');
  await writer.flush();
  expect(await digestOf(id)).toBe('newer');
});

it('a key that is queued again while its digest is written is written again', async () => {
  const id = await keyUnder('a');
  writer.note(id, 'a', 'b');
  const first = writer.flush();
  await new Promise(setImmediate);
  writer.note(id, 'b', 'c');
  await first;
  await writer.flush();
  expect(await digestOf(id)).toBe('c');
});

it('a digest that another key already has blocks the update of one key only', async () => {
  const [id, other, third] = [await keyUnder('a'), await keyUnder('taken'), await keyUnder('c')];
  writer.note(id, 'a', 'taken');
  writer.note(third, 'c', 'new c');
  await writer.flush();
  expect(await Promise.all([id, other, third].map(digestOf))).toEqual(['a', 'taken', 'new c']);
});

it('a locked row is skipped until the next use of its key, and delays no other row', async () => {
  const [id, other] = [await keyUnder('a'), await keyUnder('b')];
  const holder = dataSource.createQueryRunner();
  await holder.startTransaction();
  await holder.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [id]);
  writer.note(id, 'a', 'new a');
  writer.note(other, 'b', 'new b');
  await writer.flush();
  await holder.rollbackTransaction();
  await holder.release();
  expect(await Promise.all([id, other].map(digestOf))).toEqual(['a', 'new b']);
});

it('at most ten thousand keys wait; a later use of any other key adds it again', async () => {
  const ids = [await keyUnder('a'), await keyUnder('b')];
  writer.note(ids[0] ?? '', 'a', 'new a');
  for (let i = 1; i < 10_000; i++) writer.note(String(1_000_000 + i), 'x', 'y');
  writer.note(ids[1] ?? '', 'b', 'new b');
  await writer.flush();
  expect(await Promise.all(ids.map(digestOf))).toEqual(['new a', 'b']);
  writer.note(ids[1] ?? '', 'b', 'new b');
  await writer.flush();
  expect(await digestOf(ids[1] ?? '')).toBe('new b');
});

it('a failed write is logged once, and its keys are written next time together with new ones', async () => {
  const ids = [await keyUnder('a'), await keyUnder('b')];
  const warned = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => {});
  await sql(database, 'ALTER TABLE api_keys RENAME TO elsewhere');
  writer.note(ids[0] ?? '', 'a', 'new a');
  await writer.flush();
  await writer.flush();
  await sql(database, 'ALTER TABLE elsewhere RENAME TO api_keys');
  expect(warned.mock.calls.flat()).toEqual([expect.stringContaining('key_digest could not be written')]);
  warned.mockRestore();
  writer.note(ids[1] ?? '', 'b', 'new b');
  await writer.flush();
  expect(await Promise.all(ids.map(digestOf))).toEqual(['new a', 'new b']);
});

it('a key that is added during a write is written next time', async () => {
  const ids = [await keyUnder('a'), await keyUnder('b')];
  writer.note(ids[0] ?? '', 'a', 'new a');
  const writing = writer.flush();
  await new Promise(setImmediate);
  writer.note(ids[1] ?? '', 'b', 'new b');
  await writing;
  await writer.flush();
  expect(await Promise.all(ids.map(digestOf))).toEqual(['new a', 'new b']);
});
