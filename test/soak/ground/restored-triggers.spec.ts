import { Logger } from '@nestjs/common';
import { apiKeyMigrations, runMigrations } from 'nestjs-api-key';
import { keysDataSource } from '../../support/data-source';
import { createMigratedDatabase, createUser, sql } from '../../support/database';
import { bootOn } from '../../support/ground';
import { until } from '../../support/until';

const WATCHED = { usersTable: 'users', watchUsers: true };

let url: string;

beforeEach(async () => {
  url = await createMigratedDatabase();
});

/** The triggers of the library on a table, each with whether it fires always. */
const triggersOf = async (table: string) =>
  (
    await sql<{ it: string }>(
      url,
      `SELECT concat_ws(' ', tgname, tgenabled, pg_get_triggerdef(oid)) AS it FROM pg_trigger
       WHERE tgrelid = $1::regclass AND tgname LIKE 'nestjs_api_key%' ORDER BY 1`,
      [table],
    )
  ).map(({ it }) => it);

/** Runs the migrations, of which all are on record. */
async function migrate(): Promise<void> {
  const dataSource = await keysDataSource(url, { migrations: apiKeyMigrations(WATCHED) });
  try {
    expect(await runMigrations(dataSource)).toEqual([]);
  } finally {
    await dataSource.destroy();
  }
}

/** Puts a copy of a table in its place, with its rows. */
const swap = (table: string) =>
  sql(
    url,
    `CREATE TABLE copy (LIKE ${table} INCLUDING ALL); INSERT INTO copy SELECT * FROM ${table};
     ALTER TABLE ${table} RENAME TO before_${table}; ALTER TABLE copy RENAME TO ${table}`,
  );

describe('runMigrations', () => {
  it.each([
    ['the table was swapped by rename', () => swap('api_keys')],
    ['a trigger was dropped', () => sql(url, 'DROP TRIGGER nestjs_api_key_feed_delete ON api_keys')],
    [
      'the trigger for replicated keys was dropped',
      () => sql(url, 'DROP TRIGGER nestjs_api_key_feed_replicated ON api_keys'),
    ],
    ['their function was dropped', () => sql(url, 'DROP FUNCTION nestjs_api_key_feed CASCADE')],
    [
      'Rails disabled all triggers and enabled them again',
      () => sql(url, 'ALTER TABLE api_keys DISABLE TRIGGER ALL; ALTER TABLE api_keys ENABLE TRIGGER ALL'),
    ],
  ])('restores the triggers of keys after %s', async (_, harm) => {
    const before = await triggersOf('api_keys');
    await harm();
    expect(await triggersOf('api_keys')).not.toEqual(before);
    await migrate();
    expect(await triggersOf('api_keys')).toEqual(before);
  });

  it('restores their function as it was, with all columns that it compares', async () => {
    const definition = () =>
      sql(url, `SELECT pg_get_functiondef(oid) AS it FROM pg_proc WHERE proname = 'nestjs_api_key_feed'`);
    const before = await definition();
    await sql(url, 'DROP FUNCTION nestjs_api_key_feed CASCADE');
    await migrate();
    expect([before.length, await definition()]).toEqual([1, before]);
  });

  it('restores the triggers of users after their table was swapped by rename', async () => {
    const before = await triggersOf('users');
    await swap('users');
    await migrate();
    expect([before.length, await triggersOf('users')]).toEqual([2, before]);
  });

  it('restores the triggers of users with their function', async () => {
    const before = await triggersOf('users');
    await sql(url, 'DROP FUNCTION nestjs_api_key_owner_feed CASCADE');
    expect(await triggersOf('users')).toEqual([]);
    await migrate();
    expect(await triggersOf('users')).toEqual(before);
  });

  it('starts even if the table of keys is missing', async () => {
    await sql(url, 'DROP TABLE api_keys CASCADE');
    await expect(migrate()).resolves.toBeUndefined();
  });

  it('starts even if the table of users is missing', async () => {
    await sql(url, 'DROP TABLE users CASCADE');
    await expect(migrate()).resolves.toBeUndefined();
  });

  it.each(['DISABLE', 'ENABLE REPLICA'])('does not change a trigger that was set to %s', async (state) => {
    await sql(url, `ALTER TABLE api_keys ${state} TRIGGER nestjs_api_key_feed_update`);
    const before = await triggersOf('api_keys');
    await migrate();
    expect(await triggersOf('api_keys')).toEqual(before);
  });

  it('changes no trigger if nothing is missing', async () => {
    const version = () =>
      sql(url, `SELECT max(xmin::text) FROM pg_trigger WHERE tgname LIKE 'nestjs_api_key%'`);
    const before = await version();
    await migrate();
    expect(await version()).toEqual(before);
  });

  it('lets a role start that does not own the table and may not create triggers', async () => {
    const role = new URL(url).pathname.slice(1);
    await swap('api_keys');
    await sql(url, `CREATE ROLE "${role}"; GRANT SELECT ON ALL TABLES IN SCHEMA public TO "${role}"`);
    const dataSource = await keysDataSource(url, {
      migrations: apiKeyMigrations(),
      extra: { options: `-c role=${role}` },
    });
    expect(await runMigrations(dataSource)).toEqual([]);
    await dataSource.destroy();
    await sql(url, `DROP OWNED BY "${role}"; DROP ROLE "${role}"`);
  });
});

describe('The log of a running instance', () => {
  it.each([
    ['swapped the table by rename', () => swap('api_keys'), /call runMigrations\(dataSource\)/],
    [
      'dropped a trigger',
      () => sql(url, 'DROP TRIGGER nestjs_api_key_feed_insert ON api_keys'),
      /call runMigrations\(dataSource\)/,
    ],
    [
      'enabled the trigger for replicated keys only for ordinary sessions',
      () => sql(url, 'ALTER TABLE api_keys ENABLE TRIGGER nestjs_api_key_feed_replicated'),
      /not enabled as needed: run as the owner/,
    ],
    [
      'disabled a trigger',
      () => sql(url, 'ALTER TABLE api_keys DISABLE TRIGGER nestjs_api_key_feed_insert'),
      /not enabled as needed: run as the owner/,
    ],
  ])('contains the SQL that fixes the triggers after somebody %s', async (_, harm, words) => {
    await createUser(url);
    const before = await triggersOf('api_keys');
    await harm();
    const warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation();
    const ground = await bootOn(url);
    try {
      const line = () =>
        warn.mock.calls.flat().find((said) => /^The revocation feed does not work/.test(said)) as string;
      await until(() => line() !== undefined);
      expect(line()).toMatch(words);
      await sql(url, line().replace(/^.*as the owner of the table: /, ''));
      expect(await triggersOf('api_keys')).toEqual(before);
    } finally {
      warn.mockRestore();
      await ground.close();
    }
  });
});
