import { text } from '../database/fields';
import type { KeyChange } from './key-change';

/**
 * The keys of an import have many owners. The import takes one lock for all of them, under the
 * empty name, because no owner has that name.
 */
const IMPORTS = '';

/** SQL of the lock number of an owner in a table. The lock ends with the transaction. */
function lockKey(owner: string, table: string): string {
  return `hashtextextended(${owner}, ${table}::regclass::oid::bigint)`;
}

/**
 * Locks an owner, so that changes of the owner's keys run one after the other.
 * @returns the owner in the spelling that column `user_id` stores
 */
export async function lockOwner({ session, table }: KeyChange, userId: string): Promise<string> {
  const row = await session.row(
    `SELECT owner, pg_advisory_xact_lock(${lockKey('owner', '$2')})
     FROM (SELECT (CASE WHEN true THEN $1 ELSE (SELECT user_id FROM ${table} LIMIT 1) END)::text AS owner) AS named`,
    [userId, table],
  );
  return text(row, 'owner');
}

/**
 * Locks the owner of a key.
 * @param owner the only owner whose keys are found; null: all owners
 * @returns the owner of the key; null if the key was not found
 */
export async function lockOwnerOf(
  { session, table }: KeyChange,
  id: string,
  owner: string | null,
): Promise<string | null> {
  const [row] = await session.rows(
    `SELECT user_id::text AS owner, pg_advisory_xact_lock(${lockKey('user_id::text', '$3')})
     FROM ${table} WHERE id = $1::bigint AND ($2::text IS NULL OR user_id::text = $2)`,
    [id, owner, table],
  );
  return row ? text(row, 'owner') : null;
}

/**
 * Waits for running imports, and makes later imports wait. Call this after an owner is locked,
 * never before.
 */
export async function lockOutImports({ session, table }: KeyChange): Promise<void> {
  await session.run(`SELECT pg_advisory_xact_lock(${lockKey('$1', '$2')})`, [IMPORTS, table]);
}

/**
 * Locks the owners of imported lines in one order, so that two imports never wait for each other.
 * Call this before `lockImport`.
 * @param lines the lines as JSON, with their `user_id`
 */
export async function lockOwners(
  { session, table }: Pick<KeyChange, 'session' | 'table'>,
  lines: string,
): Promise<void> {
  await session.run(
    `SELECT pg_advisory_xact_lock(${lockKey('owner', '$2')})
     FROM (SELECT DISTINCT user_id::text AS owner FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb) ORDER BY 1) AS owners`,
    [lines, table],
  );
}

/**
 * Makes a revocation of all keys of an owner wait until this import transaction ends. Other imports
 * do not wait.
 */
export async function lockImport({ session, table }: Pick<KeyChange, 'session' | 'table'>): Promise<void> {
  await session.run(`SELECT pg_advisory_xact_lock_shared(${lockKey('$1', '$2')})`, [IMPORTS, table]);
}
