import { type Change, changeEvent } from '../audit/change-trail';
import { text } from '../database/fields';
import { EQUALS } from '../database/own-names';
import type { Session } from '../database/session';
import { ownerOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import type { ChangeEvent } from '../model/api-key.event';
import { batchesOf, ownersOfLineage, reachableOf, requireEnded, revokeDescendants } from './descendants';
import { endedKeys, endingOf } from './ended-keys';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';
import { lockActor, lockToEnd } from './lock-key';
import { lockOutImports, lockOwner } from './owner-lock';

/** The keys that a revocation ended. */
export interface Ended {
  /** The revoked key; null if its row was deleted. */
  readonly apiKey: ApiKey | null;
  /**
   * The descendants that this call revoked: keys that the key made, or that were rotated from it.
   */
  readonly descendants: readonly ApiKey[];
}

/** Reason and extent of a revocation. */
export interface RevocationScope {
  readonly reason: string | null;
  /** Whether the descendants of the key are revoked too. */
  readonly descendants: boolean;
}

/**
 * Revokes a key, and its descendants if `descendants` is true. Also sets `expires_at`, because a
 * Rails app on the same table reads only that column.
 * @returns null if no key was found
 */
export async function revokeKey(
  change: KeyChange,
  id: string,
  { reason, descendants }: RevocationScope,
): Promise<Change<Ended | null>> {
  const owners = descendants ? await lockLineage(change, id) : new Set<string>();
  const locked = await lockToEnd(change, id);
  if (!locked && !(await mayEndOrphans(change, owners))) return { result: null, events: [] };
  const [revoked] = locked ? await revokeIds(change, [id]) : [];
  const { acting } = change;
  const made = descendants ? await revokeDescendants(change, id, ownerOf(acting)) : [];
  const events: ChangeEvent[] = [
    ...(revoked ? [changeEvent('revoked', revoked, acting, { reason, ancestorId: null })] : []),
    ...made.map((apiKey) => changeEvent('revoked', apiKey, acting, { reason, ancestorId: id })),
  ];
  const apiKey = revoked ?? locked;
  return { result: { apiKey, descendants: made }, events };
}

/**
 * Revokes all keys of an owner that the actor may end, also keys that other transactions are
 * creating.
 */
export async function revokeKeysOf(
  change: KeyChange,
  userId: string,
  reason: string | null,
): Promise<Change<ApiKey[]>> {
  const { acting } = change;
  const owner = await lockOwner(change, userId);
  await lockActor(change, owner);
  await lockOutImports(change);
  const revoked: ApiKey[] = [];
  for (const ids of batchesOf(await idsOf(change, owner)))
    for (const apiKey of await revokeIds(change, await reachableOf(change, ids))) revoked.push(apiKey);
  return {
    result: revoked,
    events: revoked.map((apiKey) => changeEvent('revoked', apiKey, acting, { reason, ancestorId: null })),
  };
}

/**
 * Deletes a key.
 * @returns false if the key does not exist
 */
export async function deleteKey(change: KeyChange, id: string): Promise<Change<boolean>> {
  const apiKey = await lockToEnd(change, id);
  if (!apiKey) return { result: false, events: [] };
  const { session, table, acting } = change;
  await session.run(`DELETE FROM ${table} WHERE id = $1::bigint`, [id]);
  await requireGone(change, [id]);
  return { result: true, events: [changeEvent('deleted', apiKey, acting, {})] };
}

/**
 * Deletes keys that ended more than `olderThanDays` days ago. A disabled key has not ended, unless
 * it was revoked. Deletes at most `limit` keys, with
 * ids above `after`.
 */
export async function deleteEndedKeys(
  session: Session,
  olderThanDays: number,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<ApiKey[]> {
  const { keys: table } = session.tables;
  const rows = await session.rows(
    `SELECT id::text FROM ${table}
     WHERE CASE WHEN disabled_at IS NULL THEN least(revoked_at, expires_at) ELSE revoked_at END < clock_timestamp() - $1 * interval '1 day' AND id > $2::bigint
     ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED`,
    [olderThanDays, after, limit],
  );
  const ids = rows.map((row) => text(row, 'id'));
  if (ids.length === 0) return [];
  const ended = await endedKeys({ session, table }, ids, () => {});
  await session.run(`DELETE FROM ${table} WHERE id = ANY ($1::bigint[])`, [ids]);
  await requireGone({ session, table }, ids);
  return ended;
}

/**
 * A rule of the application can make a deletion an update, as for soft deletion.
 * @throws KeyNotWritten if one of the keys is still there
 */
async function requireGone(
  { session, table }: Pick<KeyChange, 'session' | 'table'>,
  ids: readonly string[],
): Promise<void> {
  const kept = await session.rows(`SELECT FROM ${table} WHERE id = ANY ($1::bigint[]) LIMIT 1`, [ids]);
  if (kept.length > 0) throw new KeyNotWritten('deletes');
}

/** Whether a deleted key has descendants that the caller may revoke. */
async function mayEndOrphans(change: KeyChange, owners: ReadonlySet<string>): Promise<boolean> {
  const owner = ownerOf(change.acting);
  if (owner === null) return owners.size > 0;
  if (!owners.has(owner)) return false;
  await lockActor(change, owner);
  return true;
}

/**
 * Locks and returns the owners of a key and of its descendants. Repeats until no new owner is
 * found, because another transaction may create descendants during the wait for a lock. If an owner
 * acts, no other owner is locked.
 */
async function lockLineage(change: KeyChange, id: string): Promise<ReadonlySet<string>> {
  const locked = new Set<string>();
  for (;;) {
    const owners = await ownersOfLineage(change, id, ownerOf(change.acting));
    const others = owners.filter((owner) => !locked.has(owner));
    if (others.length === 0) return locked;
    for (const owner of others) locked.add(await lockOwner(change, owner));
  }
}

async function idsOf({ session, table }: KeyChange, owner: string): Promise<string[]> {
  const rows = await session.rows(
    `SELECT id::text FROM ${table} WHERE user_id ${EQUALS} $1 AND revoked_at IS NULL`,
    [owner],
  );
  return rows.map((row) => text(row, 'id'));
}

async function revokeIds(change: KeyChange, ids: readonly string[]): Promise<ApiKey[]> {
  const { session, table } = change;
  const rows = await session.rows(
    `UPDATE ${table} SET ${await endingOf(change)}
     WHERE id = ANY ($1::bigint[]) AND revoked_at IS NULL RETURNING id::text`,
    [ids],
  );
  await requireEnded(change, ids);
  return endedKeys(
    change,
    rows.map((row) => text(row, 'id')),
    change.rules.derive,
  );
}
