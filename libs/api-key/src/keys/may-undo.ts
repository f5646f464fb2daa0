import { text } from '../database/fields';
import type { KeyChange } from './key-change';

type Table = Pick<KeyChange, 'session' | 'table'>;

/**
 * Whether a key may undo what another key did. It may if the other key is the key itself, a key
 * that it replaced in a rotation, or a descendant of one of these. It may not if the other key made
 * the key, or is a successor of the key, or a descendant of a successor. If the row of the other
 * key was deleted, its lineage is unknown, and the answer is no.
 */
export async function mayUndo(table: Table, actorId: string, otherId: string): Promise<boolean> {
  if (actorId === otherId) return true;
  const replaced = await replacedBy(table, actorId);
  if (replaced.has(otherId)) return true;
  const ancestors = await ancestryOf(table, otherId);
  if (!haveCommon(ancestors, new Set([actorId, ...replaced]))) return false;
  const successors = await successorsOf(table, actorId);
  if (successors.has(otherId) || haveCommon(ancestors, successors)) return false;
  return !(await ancestryOf(table, actorId)).has(otherId);
}

function haveCommon(some: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return [...others].some((id) => some.has(id));
}

/**
 * Returns all ancestors of a key. A row stores at most `MAX_ANCESTORS` of them, so the search
 * continues from each ancestor that it finds.
 */
async function ancestryOf({ session, table }: Table, id: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  let last = [id];
  while (last.length > 0) {
    const rows = await session.rows(
      `SELECT DISTINCT made.by::text AS id FROM ${table} k CROSS JOIN LATERAL unnest(k.ancestor_ids) AS made (by)
       WHERE k.id = ANY ($1::bigint[]) AND made.by IS NOT NULL`,
      [last],
    );
    last = rows.map((row) => text(row, 'id')).filter((each) => !found.has(each));
    for (const each of last) found.add(each);
  }
  return found;
}

/** Returns the keys that a key replaced, one after the other. The last row may be deleted. */
function replacedBy(table: Table, id: string): Promise<ReadonlySet<string>> {
  return chainOf(
    table,
    id,
    (keys) => `SELECT replaces_id FROM ${keys} WHERE id = $1::bigint
       UNION SELECT k.replaces_id FROM ${keys} k JOIN chain ON k.id = chain.id`,
  );
}

/** Returns the keys that replaced a key, one after the other. */
function successorsOf(table: Table, id: string): Promise<ReadonlySet<string>> {
  return chainOf(
    table,
    id,
    (keys) => `SELECT k.id::bigint FROM ${keys} k WHERE k.replaces_id = $1::bigint
       UNION SELECT k.id::bigint FROM ${keys} k JOIN chain ON k.replaces_id = chain.id`,
  );
}

/** UNION drops duplicates, so the search ends also if rows that were edited by hand form a ring. */
async function chainOf(
  { session, table }: Table,
  id: string,
  steps: (keys: string) => string,
): Promise<ReadonlySet<string>> {
  const rows = await session.rows(
    `WITH RECURSIVE chain (id) AS (${steps(table)}) SELECT id::text FROM chain WHERE id IS NOT NULL`,
    [id],
  );
  return new Set(rows.map((row) => text(row, 'id')));
}
