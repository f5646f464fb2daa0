import { type Change, changeEvent } from '../audit/change-trail';
import { text } from '../database/fields';
import { EQUALS } from '../database/own-names';
import type { Session } from '../database/session';
import { ownerOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import type { ChangeEvent } from '../model/api-key.event';
import { batchesOf, ownersOfLineage, requireEnded, revokeDescendants } from './descendants';
import { endedKeys, endingOf } from './ended-keys';
import type { KeyChange } from './key-change';
import { KeyNotWritten } from './key-not-written';
import { lockActor, lockToEnd } from './lock-key';
import { lockOutImports, lockOwner } from './owner-lock';

/** What a revocation did. */
export interface Revocation extends Ended {
  /**
   * How many keys that it made are still accepted, counted after the revocation; 0 after
   * `descendants`, null if they could not be counted.
   */
  readonly liveDescendants: number | null;
}

/** What a revocation ended. */
export interface Ended {
  /** The key, which is revoked; null if its row is gone. */
  readonly apiKey: ApiKey | null;
  /** The keys that it made, or that were rotated from it, which this call ended as well. */
  readonly descendants: readonly ApiKey[];
}

/** What is revoked beside a key, and why. */
export interface RevocationScope {
  readonly reason: string | null;
  /** Whether all that the key made ends with it. */
  readonly descendants: boolean;
}

/**
 * Revokes a key, with all that it made where that is asked for. A key is also expired from then on,
 * for a Rails app on the same table knows only that.
 * @returns null if there is no such key, nor any that it made
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

/** Revokes all keys of an owner, also those whose making was under way. */
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
    for (const apiKey of await revokeIds(change, ids)) revoked.push(apiKey);
  return {
    result: revoked,
    events: revoked.map((apiKey) => changeEvent('revoked', apiKey, acting, { reason, ancestorId: null })),
  };
}

/**
 * Removes a key.
 * @returns false if there is no such key
 */
export async function deleteKey(change: KeyChange, id: string): Promise<Change<boolean>> {
  const apiKey = await lockToEnd(change, id);
  if (!apiKey) return { result: false, events: [] };
  const { session, table, acting } = change;
  await session.run(`DELETE FROM ${table} WHERE id = $1::bigint`, [id]);
  await requireGone(change, [id]);
  return { result: true, events: [changeEvent('deleted', apiKey, acting, {})] };
}

/** Removes keys that ended so many days ago: the next so many of them behind an id. */
export async function deleteEndedKeys(
  session: Session,
  olderThanDays: number,
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<ApiKey[]> {
  const { keys: table } = session.tables;
  const rows = await session.rows(
    `SELECT id::text FROM ${table}
     WHERE least(revoked_at, expires_at) < clock_timestamp() - $1 * interval '1 day' AND id > $2::bigint
     ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED`,
    [olderThanDays, after, limit],
  );
  const ids = rows.map((row) => text(row, 'id'));
  if (ids.length === 0) return [];
  const ended = await endedKeys({ session, table }, ids);
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

/** Whether who acts sees any of what a key made whose row is gone. */
async function mayEndOrphans(change: KeyChange, owners: ReadonlySet<string>): Promise<boolean> {
  const owner = ownerOf(change.acting);
  if (owner === null) return owners.size > 0;
  if (!owners.has(owner)) return false;
  await lockActor(change, owner);
  return true;
}

/**
 * Locks the owners of a key and of all that it made, and returns them, once nobody else is left who
 * could make more. Who acts for one owner locks no other one.
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

/** The keys of an owner that are not revoked. */
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
  );
}
