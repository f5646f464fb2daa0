import type { QueryRunner } from 'typeorm';
import { quoteName } from '../database/names';
import { sessionOf } from '../database/session-of';
import type { ApiKeyMigrationOptions } from './migration-options';
import { ownerReference, referencing } from './reference-users.migration';
import { run, tableExists } from './sql';
import { nameOf } from './table-name';
import { writeNote } from './table-note';

/**
 * Creates the table of keys as Rails does, with the columns of this library, and with time zones.
 * The index names are the names that Rails uses. If the users table does not exist yet, a later
 * migration adds the foreign key.
 */
export async function createTable(
  runner: QueryRunner,
  table: string,
  { ownerType, usersTable }: ApiKeyMigrationOptions,
): Promise<void> {
  const isReferencePending = usersTable !== undefined && !(await tableExists(runner, quoteName(usersTable)));
  const create = (reference: string) => run(runner, tableSql(table, `${ownerType} NOT NULL ${reference}`));
  if (usersTable === undefined || isReferencePending) await create('');
  else await referencing(usersTable, () => create(ownerReference(usersTable)));
  const index = (column: string) => nameOf(runner, `index_api_keys_on_${column}`);
  await run(runner, `CREATE UNIQUE INDEX ${index('key_digest')} ON ${table} (key_digest)`);
  await run(runner, `CREATE INDEX ${index('key_prefix')} ON ${table} (key_prefix)`);
  await run(runner, `CREATE INDEX ${index('user_id')} ON ${table} (user_id)`);
  await writeNote(await sessionOf(runner), table, { origin: 'created', isReferencePending });
}

function tableSql(table: string, owner: string): string {
  return `CREATE TABLE ${table} (
      id bigserial PRIMARY KEY,
      user_id ${owner},
      name varchar NOT NULL,
      key_digest varchar NOT NULL,
      key_prefix varchar NOT NULL,
      scopes text[] DEFAULT '{}',
      last_used_at timestamptz,
      expires_at timestamptz,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      key_suffix varchar,
      revoked_at timestamptz
    )`;
}
