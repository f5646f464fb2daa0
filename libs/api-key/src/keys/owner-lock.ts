import { text } from '../database/fields';
import type { KeyChange } from './key-change';

/**
 * An import names many owners and takes one lock for all of them: that of the empty name, which no
 * owner has.
 */
const IMPORTS = '';

/** One lock for each table and owner. PostgreSQL releases it when the transaction ends. */
function lockKey(owner: string, table: string): string {
  return `hashtextextended(${owner}, ${table}::regclass::oid::bigint)`;
}

/**
 * Takes the lock of an owner: changes of its keys come one after the other.
 * @returns the owner as the column has it, which may be another spelling
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
 * Takes the lock of the owner of a key.
 * @param owner whose keys are seen; null: all
 * @returns that owner; null if there is no such key
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
 * Waits for imports under way and keeps later ones waiting. Take it after the lock of an owner,
 * never before.
 */
export async function lockOutImports({ session, table }: KeyChange): Promise<void> {
  await session.run(`SELECT pg_advisory_xact_lock(${lockKey('$1', '$2')})`, [IMPORTS, table]);
}

/**
 * Keeps a revocation of all keys of an owner waiting until the import has ended; other imports go
 * on.
 */
export async function lockImport({ session, table }: Pick<KeyChange, 'session' | 'table'>): Promise<void> {
  await session.run(`SELECT pg_advisory_xact_lock_shared(${lockKey('$1', '$2')})`, [IMPORTS, table]);
}
