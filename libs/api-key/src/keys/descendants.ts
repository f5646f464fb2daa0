import { number, text } from '../database/fields';
import type { ApiKey } from '../model/api-key.entity';
import { MAX_ANCESTORS } from '../model/lineage';
import { isActive } from './active-keys';
import { endedKeys, endingOf } from './ended-keys';
import type { KeyChange } from './key-change';
import { isInReach } from './key-environment';
import { KeyNotWritten } from './key-not-written';

type Table = Pick<KeyChange, 'session' | 'table'>;

const IS_UNEXPIRED = '(k.expires_at IS NULL OR k.expires_at > clock_timestamp())';

/**
 * Maximum number of keys per statement. One statement for all descendants could take longer than
 * `statement_timeout`, and then revoke no key at all.
 */
const BATCH = 5_000;

/** Splits ids into batches. Each batch fits into one statement. */
export function* batchesOf(ids: readonly string[]): Generator<readonly string[]> {
  for (let at = 0; at < ids.length; at += BATCH) yield ids.slice(at, at + BATCH);
}

/**
 * Returns the ids of some keys and of all their descendants. The given keys may be deleted. A row
 * stores at most `MAX_ANCESTORS` ancestors, so the oldest ancestors may be missing. Therefore the
 * search continues from each key that it finds, among rows with `MAX_ANCESTORS` ancestors.
 */
export async function idsOfLineage(table: Table, roots: readonly string[]): Promise<string[]> {
  const found = new Set(roots);
  let last = await madeBy(table, roots, 1);
  while (last.length > 0) {
    const next = new Set<string>();
    for (const id of last) found.add(id);
    for (const ids of batchesOf(last))
      for (const id of await madeBy(table, ids, MAX_ANCESTORS)) if (!found.has(id)) next.add(id);
    last = [...next];
  }
  return [...found];
}

/**
 * Returns the keys that have one of the ids among their ancestors, and have `least` ancestors or
 * more. OFFSET 0 makes PostgreSQL search the index once for each id. PostgreSQL may run `&&` or a
 * plain join as a comparison of all rows with all ids.
 */
async function madeBy({ session, table }: Table, ids: readonly string[], least: number): Promise<string[]> {
  const rows = await session.rows(
    `SELECT DISTINCT made.id::text FROM unnest($1::bigint[]) AS l (id) CROSS JOIN LATERAL (
       SELECT k.id FROM ${table} k WHERE k.ancestor_ids @> ARRAY[l.id] AND cardinality(k.ancestor_ids) >= $2 OFFSET 0
     ) AS made`,
    [ids, least],
  );
  return rows.map((row) => text(row, 'id'));
}

/**
 * Returns the owners of a key and of its descendants.
 * @param owner the only owner to look for; null: all owners
 */
export async function ownersOfLineage(
  change: Table,
  id: string,
  owner: string | null,
): Promise<readonly string[]> {
  const owners = new Set<string>();
  for (const ids of batchesOf(await idsOfLineage(change, [id]))) {
    const rows = await change.session.rows(
      `SELECT DISTINCT user_id::text AS owner FROM ${change.table}
       WHERE id = ANY ($1::bigint[]) AND ($2::text IS NULL OR user_id::text = $2)`,
      [ids, owner],
    );
    for (const row of rows) owners.add(text(row, 'owner'));
  }
  return [...owners].sort();
}

/**
 * Returns those of some keys that the actor may end as far as environments matter. Column
 * `key_prefix` is read only if a key acts, because it must not prevent a revocation.
 */
export async function reachableOf(change: KeyChange, ids: readonly string[]): Promise<readonly string[]> {
  const { session, table, acting } = change;
  if (!acting.apiKey) return ids;
  const rows = await session.rows(
    `SELECT id::text, key_prefix::text FROM ${table} WHERE id = ANY ($1::bigint[]) ORDER BY id`,
    [ids],
  );
  const found = rows.map((row) => ({ id: text(row, 'id'), keyPrefix: text(row, 'key_prefix') }));
  return found.filter((key) => isInReach(key, change)).map((key) => key.id);
}

/** Revokes all descendants of a key that the actor may end, and that are not revoked yet. */
export async function revokeDescendants(
  change: KeyChange,
  id: string,
  owner: string | null,
): Promise<ApiKey[]> {
  const revoked: ApiKey[] = [];
  const ending = await endingOf(change);
  for (const lineage of batchesOf(await idsOfLineage(change, [id]))) {
    const ids = await reachableOf(change, lineage);
    const rows = await change.session.rows(
      `UPDATE ${change.table} k SET ${ending}
       WHERE id = ANY ($1::bigint[]) AND id <> $2::bigint AND revoked_at IS NULL AND ($3::text IS NULL OR user_id::text = $3)
       RETURNING id::text`,
      [ids, id, owner],
    );
    await requireEnded(change, ids, { except: id, owner });
    const ended = await endedKeys(
      change,
      rows.map((row) => text(row, 'id')),
      change.rules.derive,
    );
    for (const apiKey of ended) revoked.push(apiKey);
  }
  return revoked;
}

/**
 * Checks that keys are revoked, because a row security policy or a trigger of the application can
 * undo a revocation without an error.
 * @throws KeyNotWritten if one of the keys is not revoked
 */
export async function requireEnded(
  { session, table }: Table,
  ids: readonly string[],
  { except = '0', owner = null }: { readonly except?: string; readonly owner?: string | null } = {},
): Promise<void> {
  const kept = await session.rows(
    `SELECT FROM ${table} WHERE id = ANY ($1::bigint[]) AND id <> $2::bigint AND revoked_at IS NULL
       AND ($3::text IS NULL OR user_id::text = $3) LIMIT 1`,
    [ids, except, owner],
  );
  if (kept.length > 0) throw new KeyNotWritten('revokes');
}

/** Counts the descendants of a key that are valid now. */
export async function countLiveDescendants(
  change: Table & Pick<KeyChange, 'rules'>,
  id: string,
): Promise<number> {
  let live = 0;
  for (const ids of batchesOf(await idsOfLineage(change, [id]))) {
    const row = await change.session.row(
      `SELECT count(*)::text AS live FROM ${change.table} k WHERE id = ANY ($1::bigint[]) AND id <> $2::bigint AND ${isActive(change.rules.policy)}`,
      [ids, id],
    );
    live += number(row, 'live');
  }
  return live;
}

/**
 * Returns the ids of keys that are revoked, expired, rotated or deleted. A disabled key has not
 * ended, because it can be enabled. Returns an empty set for
 * `MAX_ANCESTORS` ids or fewer, because a row can store all of them.
 */
export async function endedAmong(
  { session, table }: Table,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  if (ids.length <= MAX_ANCESTORS) return new Set();
  const rows = await session.rows(
    `SELECT k.id::text FROM ${table} k
     WHERE k.id = ANY ($1::bigint[]) AND k.revoked_at IS NULL AND (k.disabled_at IS NOT NULL OR ${IS_UNEXPIRED})
       AND NOT EXISTS (SELECT FROM ${table} s WHERE s.replaces_id = k.id)`,
    [ids],
  );
  const live = new Set(rows.map((row) => text(row, 'id')));
  return new Set(ids.filter((id) => !live.has(id)));
}
