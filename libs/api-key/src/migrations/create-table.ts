import type { QueryRunner } from 'typeorm';
import { quoteName } from '../database/names';
import { sessionOf } from '../database/session-of';
import type { ApiKeyMigrationOptions } from './migration-options';
import { run } from './sql';
import { writeNote } from './table-note';

/**
 * Creates the table of keys as Rails does, with the columns of this library, and with time zones.
 * The index names are the names that Rails uses.
 */
export async function createTable(
  runner: QueryRunner,
  table: string,
  { ownerType, usersTable }: ApiKeyMigrationOptions,
): Promise<void> {
  const reference = usersTable ? `REFERENCES ${quoteName(usersTable)} (id) ON DELETE CASCADE` : '';
  await run(
    runner,
    `
    CREATE TABLE ${table} (
      id bigserial PRIMARY KEY,
      user_id ${ownerType} NOT NULL ${reference},
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
    )`,
  );
  await run(runner, `CREATE UNIQUE INDEX index_api_keys_on_key_digest ON ${table} (key_digest)`);
  await run(runner, `CREATE INDEX index_api_keys_on_key_prefix ON ${table} (key_prefix)`);
  await run(runner, `CREATE INDEX index_api_keys_on_user_id ON ${table} (user_id)`);
  await writeNote(await sessionOf(runner), table, { origin: 'created' });
}
