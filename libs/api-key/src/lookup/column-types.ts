import { flag, text } from '../database/fields';
import type { Session } from '../database/session';

/** Types of the column `user_id` in which each owner has only one spelling. */
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

/**
 * Checks that all time columns of the table of keys are of type timestamptz.
 * @throws Error if a column has another type
 */
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
 * Checks that each owner has only one spelling in the column `user_id`. The library compares owners
 * as text, but PostgreSQL compares owners by column type. Both comparisons must have the same
 * result.
 * @throws Error if the column type allows two spellings of one owner
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

/** Throws an error with the SQL to run, because TypeORM does not run a recorded migration again. */
function refuseZoneless(table: string, columns: readonly string[]): never {
  const changes = columns.map((column) => `ALTER COLUMN ${column} TYPE timestamptz`).join(', ');
  throw new Error(
    `ApiKeyModule: table api_keys cannot be used: ${columns.join(', ')} must be timestamptz, or a key would expire hours early or late ` +
      'in a session of another time zone. Run the migrations of apiKeyMigrations(); if they have already run: ' +
      `SET TimeZone = 'UTC'; ALTER TABLE ${table} ${changes}`,
  );
}
