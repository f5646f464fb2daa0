import { text, textOrNull } from '../database/fields';
import type { KeyChange } from './key-change';

type Table = Pick<KeyChange, 'session' | 'table'>;

/** SQL of the last ancestor of a key; NULL if the key has none. */
const LAST_ANCESTOR = 'k.ancestor_ids[cardinality(k.ancestor_ids)]';

/**
 * Whether a key may undo what another key did. It may if the other key is the key itself, a key
 * that it replaced in a rotation, or a descendant of one of these. It may not if the other key made
 * the key, or is a successor of the key, or a descendant of a successor. If the row of the other
 * key was deleted, its lineage is unknown, and the answer is no.
 */
export async function mayUndo(table: Table, actorId: string, otherId: string): Promise<boolean> {
  if (actorId === otherId) return true;
  const replaced = await replacedBy(table, actorId);
  return replaced.has(otherId) || isBelow(table, otherId, actorId, replaced);
}

/**
 * Whether a key descends from another key, or from a key that the other one replaced, and neither
 * made the other one nor descends from its successors.
 */
export async function isBelow(
  table: Table,
  id: string,
  aboveId: string,
  replaced: ReadonlySet<string> = new Set(),
): Promise<boolean> {
  const ancestors = await ancestryOf(table, id);
  if (!haveCommon(ancestors, new Set([aboveId, ...replaced]))) return false;
  const successors = await successorsOf(table, aboveId);
  if (successors.has(id) || haveCommon(ancestors, successors)) return false;
  return !(await ancestryOf(table, aboveId)).has(id);
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

/**
 * Returns the keys that a key replaced, one after the other. The search ends at a successor whose
 * last ancestor is not the replaced key: a foreign key rotated it, and has seen the successor.
 */
async function replacedBy(table: Table, id: string): Promise<ReadonlySet<string>> {
  const rotations = await rotationsTo(table, id);
  const replaced = new Set<string>();
  for (let rotation = rotations.get(id); rotation; rotation = rotations.get(rotation.of)) {
    const { of, by } = rotation;
    if (by !== of || replaced.has(of)) break;
    replaced.add(of);
  }
  return replaced;
}

interface Rotation {
  /** The key that was replaced. Its row may be deleted. */
  readonly of: string;
  /** Last ancestor of the successor: the replaced key, or a foreign key that rotated it. */
  readonly by: string | null;
}

/**
 * Returns the rotations that led to a key, by the id of the successor. UNION drops duplicates, so
 * the search ends also if rows that were edited by hand form a ring.
 */
async function rotationsTo({ session, table }: Table, id: string): Promise<ReadonlyMap<string, Rotation>> {
  const rows = await session.rows(
    `WITH RECURSIVE chain (id, of_id, by_id) AS (
       SELECT k.id::bigint, k.replaces_id, ${LAST_ANCESTOR} FROM ${table} k WHERE k.id = $1::bigint
       UNION SELECT k.id::bigint, k.replaces_id, ${LAST_ANCESTOR} FROM ${table} k JOIN chain ON k.id = chain.of_id
     ) SELECT id::text, of_id::text, by_id::text FROM chain WHERE of_id IS NOT NULL`,
    [id],
  );
  return new Map(
    rows.map((row) => [text(row, 'id'), { of: text(row, 'of_id'), by: textOrNull(row, 'by_id') }]),
  );
}

/**
 * Returns the keys that replaced a key, one after the other. They have the same bucket and larger
 * ids, and so are found also if the row of one of them was deleted. UNION drops duplicates, as in
 * `rotationsTo`.
 */
async function successorsOf({ session, table }: Table, id: string): Promise<ReadonlySet<string>> {
  const rows = await session.rows(
    `WITH RECURSIVE chain (id) AS (
       SELECT id::bigint FROM ${table} WHERE replaces_id = $1::bigint
       UNION SELECT k.id::bigint FROM ${table} k JOIN chain ON k.replaces_id = chain.id
     ), later AS (
       SELECT s.id::bigint, s.replaces_id FROM ${table} k JOIN ${table} s ON s.user_id = k.user_id
       WHERE k.id = $1::bigint AND s.id > k.id AND s.bucket_id = coalesce(k.bucket_id, k.id)
     )
     SELECT id::text FROM chain UNION SELECT id::text FROM later
     UNION SELECT replaces_id::text FROM later WHERE replaces_id > $1::bigint`,
    [id],
  );
  return new Set(rows.map((row) => text(row, 'id')));
}
