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
export async function lockOwner({ manager, table }: KeyChange, userId: string): Promise<string> {
  const [{ owner }] = await manager.query<[{ owner: string }]>(
    `SELECT owner, pg_advisory_xact_lock(${lockKey('owner', '$2')})
     FROM (SELECT (CASE WHEN true THEN $1 ELSE (SELECT user_id FROM ${table} LIMIT 1) END)::text AS owner) AS named`,
    [userId, table],
  );
  return owner;
}

/**
 * Takes the lock of the owner of a key.
 * @param owner whose keys are seen; null: all
 * @returns that owner; null if there is no such key
 */
export async function lockOwnerOf(
  { manager, table }: KeyChange,
  id: string,
  owner: string | null,
): Promise<string | null> {
  const [row] = await manager.query<{ owner: string }[]>(
    `SELECT user_id::text AS owner, pg_advisory_xact_lock(${lockKey('user_id::text', '$3')})
     FROM ${table} WHERE id = $1::bigint AND ($2::text IS NULL OR user_id::text = $2)`,
    [id, owner, table],
  );
  return row?.owner ?? null;
}

/**
 * Waits for imports under way and keeps later ones waiting. Take it after the lock of an owner,
 * never before.
 */
export async function lockOutImports({ manager, table }: KeyChange): Promise<void> {
  await manager.query(`SELECT pg_advisory_xact_lock(${lockKey('$1', '$2')})`, [IMPORTS, table]);
}

/**
 * Keeps a revocation of all keys of an owner waiting until the import has ended; other imports go
 * on.
 */
export async function lockImport({ manager, table }: Pick<KeyChange, 'manager' | 'table'>): Promise<void> {
  await manager.query(`SELECT pg_advisory_xact_lock_shared(${lockKey('$1', '$2')})`, [IMPORTS, table]);
}
