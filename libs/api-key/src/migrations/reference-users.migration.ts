import { Logger } from '@nestjs/common';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { codeOf } from '../database/error-codes';
import { flag, text } from '../database/fields';
import { quoteName } from '../database/names';
import { sessionOf } from '../database/session-of';
import { wordsOf } from '../model/error-words';
import { existsInOwnSchema } from './own-schema';
import { inTransaction, row, rows, tableExists, withShortLock } from './sql';
import { tableOf } from './table-name';
import { readNote, rewriteNote } from './table-note';
import { restoreWatch, type WatchUsersOptions } from './watch-users.migration';

const DATATYPE_MISMATCH = '42804';

/** The users table, and the type of its column `id`. */
interface Owners {
  readonly usersTable: string;
  readonly ownerType: string;
}

/** Returns the SQL of the foreign key from the owner column to the users table. */
export function ownerReference(usersTable: string): string {
  return `REFERENCES ${quoteName(usersTable)} (id) ON DELETE CASCADE`;
}

/**
 * Runs a step that creates the foreign key.
 * @throws Error that names option `ownerType`, if the owner column and the column `id` of the
 *   users table have types that do not fit
 */
export async function referencing(usersTable: string, step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (error) {
    if (codeOf(error) !== DATATYPE_MISMATCH) throw error;
    const { detail = wordsOf(error) } = error as { detail?: string };
    throw new Error(
      `nestjs-api-key: the keys cannot reference table ${usersTable} (${detail}). ` +
        'Set option "ownerType" of apiKeyMigrations to the type of its column id, and migrate again.',
      { cause: error },
    );
  }
}

/**
 * Returns the migration that adds the foreign key and the triggers that earlier migrations could
 * not add, because the users table did not exist yet. TypeORM sorts migrations by the number in
 * their names, and the users table of a new project has a later number than the table of keys. This
 * number is the last one of all.
 */
export function referenceUsers(
  { usersTable, ownerType }: Owners,
  watched: WatchUsersOptions | null,
): new () => MigrationInterface {
  return class ReferenceUsers implements MigrationInterface {
    readonly name = 'ReferenceUsers9999999999999';

    up(runner: QueryRunner): Promise<void> {
      return inTransaction(runner, () => addPending(runner, { usersTable, ownerType }, watched));
    }

    /** Drops the foreign key, so that `down` of the application can drop the users table. */
    down(runner: QueryRunner): Promise<void> {
      return inTransaction(runner, () => dropReference(runner, usersTable));
    }
  };
}

async function addPending(
  runner: QueryRunner,
  owners: Owners,
  watched: WatchUsersOptions | null,
): Promise<void> {
  const { usersTable } = owners;
  const table = tableOf(runner);
  if (!(await existsInOwnSchema(runner, table))) return;
  const note = await readNote(await sessionOf(runner), table);
  const isPending = note?.origin === 'created' && note.isReferencePending;
  if (!isPending && watched === null) return;
  if (!(await tableExists(runner, quoteName(usersTable)))) refuseMissing(usersTable);
  if (isPending) await addReference(runner, table, owners);
  if (watched) await restoreWatch(runner, quoteName(usersTable), watched);
}

/**
 * Adds the foreign key. Also changes the type of the owner column, because `ownerType` may have
 * been wrong when the table was created.
 */
async function addReference(
  runner: QueryRunner,
  table: string,
  { usersTable, ownerType }: Owners,
): Promise<void> {
  const owner = await row(
    runner,
    `SELECT (atttypid <> $2::regtype)::text AS differs FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'user_id'`,
    [table, ownerType],
  );
  if (flag(owner, 'differs')) {
    const retype = `ALTER COLUMN user_id TYPE ${ownerType} USING user_id::text::${ownerType}`;
    await withShortLock(runner, `ALTER TABLE ${table} ${retype}`);
  }
  const reference = `ADD FOREIGN KEY (user_id) ${ownerReference(usersTable)}`;
  await referencing(usersTable, () => withShortLock(runner, `ALTER TABLE ${table} ${reference}`));
  await rewriteNote(await sessionOf(runner), table, { origin: 'created', isReferencePending: false });
}

async function dropReference(runner: QueryRunner, usersTable: string): Promise<void> {
  const table = tableOf(runner);
  if (!(await existsInOwnSchema(runner, table))) return;
  const session = await sessionOf(runner);
  if ((await readNote(session, table))?.origin !== 'created') return;
  const references = await rows(
    runner,
    `SELECT quote_ident(conname) AS name FROM pg_constraint
     WHERE conrelid = $1::regclass AND confrelid = to_regclass($2) AND contype = 'f'`,
    [table, quoteName(usersTable)],
  );
  if (references.length === 0) return;
  const drops = references.map((found) => `DROP CONSTRAINT ${text(found, 'name')}`);
  await withShortLock(runner, `ALTER TABLE ${table} ${drops.join(', ')}`);
  await rewriteNote(session, table, { origin: 'created', isReferencePending: true });
  new Logger('ApiKeyModule').warn(
    `Reverted ReferenceUsers, and so dropped the foreign key from ${table} to ${usersTable}: keys of deleted users remain until you migrate again. ` +
      'TypeORM reverts this migration first. Revert once more to revert the last migration of the application.',
  );
}

function refuseMissing(usersTable: string): never {
  throw new Error(
    `nestjs-api-key: there is no table ${usersTable} after all migrations, so keys would survive their owners. ` +
      'Create it in a migration of this data source or before the migrations run, or correct option "usersTable" of apiKeyMigrations, ' +
      'which is the name in the database with any prefix. Then migrate again.',
  );
}
