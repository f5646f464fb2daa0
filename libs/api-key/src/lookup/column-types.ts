import { flag, text } from '../database/fields';
import type { Session } from '../database/session';

/** Column types in which equal owners have only one spelling. */
const OWNER_TYPES = ['bigint', 'integer', 'smallint', 'uuid', 'text', 'character varying', 'character'];
const TIMES = [
  'last_used_at',
  'expires_at',
  'revoked_at',
  'created_at',
  'updated_at',
  'disabled_at',
  'enabled_expires_at',
];

/** @throws Error if a column of times has no time zone */
export async function refuseZonelessTimes(session: Session): Promise<void> {
  const rows = await session.rows(
    `SELECT attname FROM pg_attribute
     WHERE attrelid = $1::regclass AND attname = ANY ($2) AND atttypid <> 'timestamptz'::regtype ORDER BY attnum`,
    [session.tables.keys, TIMES],
  );
  const columns = rows.map((row) => text(row, 'attname'));
  if (columns.length > 0) refuseZoneless(session.tables.keys, columns);
}

/**
 * The library compares owners as text, but PostgreSQL compares them by column type. Both must find
 * the same owners equal.
 * @throws Error if two spellings can be one owner
 */
export async function refuseVagueOwners(session: Session): Promise<void> {
  const row = await session.row(
    `SELECT format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL) AS type, coalesce(c.collisdeterministic, true)::text AS is_exact
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation c ON c.oid = a.attcollation
     WHERE a.attrelid = $1::regclass AND a.attname = 'user_id'`,
    [session.tables.keys],
  );
  const type = text(row, 'type');
  if (OWNER_TYPES.includes(type) && flag(row, 'is_exact')) return;
  throw new Error(
    `ApiKeyModule: table api_keys cannot be used: column user_id is ${flag(row, 'is_exact') ? `of type ${type}` : `${type} of a collation that is not deterministic`}, ` +
      'in which two spellings can be one owner. ALTER it to bigint, integer, uuid, text or varchar.',
  );
}

/** The message has the SQL to run, because TypeORM does not run a recorded migration again. */
function refuseZoneless(table: string, columns: readonly string[]): never {
  const changes = columns.map((column) => `ALTER COLUMN ${column} TYPE timestamptz`).join(', ');
  throw new Error(
    `ApiKeyModule: table api_keys cannot be used: ${columns.join(', ')} must be timestamptz, or a key would expire hours early or late ` +
      'in a session of another time zone. Run the migrations of apiKeyMigrations(); if they have already run: ' +
      `SET TimeZone = 'UTC'; ALTER TABLE ${table} ${changes}`,
  );
}
