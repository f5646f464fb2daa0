import { API_KEY_COLUMNS, apiKeyFromRow, type DeriveFields } from '../database/api-key.row';
import type { Row } from '../database/as-text';
import { date, flag, moment, text, textOrNull } from '../database/fields';
import { isUnused } from '../database/unused';
import { ownerOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal, type RefusedReason } from '../model/api-key.errors';
import type { ResolvedPolicyOptions } from '../options/policy';
import { hasExpired } from './active-keys';
import { endedKeys } from './ended-keys';
import type { KeyChange } from './key-change';
import { refuseOtherEnvironment } from './key-environment';
import { lockOwnerOf } from './owner-lock';

/**
 * Maximum number of attempts to lock a key. The lock is tried again if the key got another owner
 * while the transaction waited for the lock of the old owner.
 */
const MAX_MOVES = 10;

/**
 * A key also counts as expired if column `expires_at` has lost its time zone, because the value
 * then means a different time in each session.
 */
const expiredSql = (policy: ResolvedPolicyOptions) =>
  `(pg_typeof(expires_at) <> 'timestamptz'::regtype OR ${hasExpired(policy)})`;

/**
 * A key that this transaction has locked. The clock of the database decides whether it has expired.
 */
export interface LockedKey {
  readonly apiKey: ApiKey;
  readonly expired: boolean;
  /** Whether it has ended because nobody used it. No other expiry revives it then. */
  readonly unused: boolean;
  readonly successorId: string | null;
  readonly now: Date;
}

/** The key to change, and the current row of the acting key. `actor` is null if no key acts. */
export interface LockedKeys {
  readonly target: LockedKey;
  readonly actor: ApiKey | null;
}

/**
 * Locks the owner of a key, then the key and the acting key. Then reads both keys again.
 * @returns null if the key does not exist, or if the acting owner is not its owner
 * @throws ApiKeyRefusal `INVALID_API_KEY` if the acting key is no longer valid,
 *   `INSUFFICIENT_SCOPE` if the acting key lacks a scope that the change needs
 * @throws ApiKeyAuthorityError if the acting key is of another environment
 */
export async function lockForChange(change: KeyChange, id: string): Promise<LockedKeys | null> {
  const { apiKey } = change.acting;
  return lockWithOwner(change, id, async (owner) => {
    const rows = await lockRows(change, apiKey ? [id, apiKey.id] : [id]);
    const target = rows.get(id);
    if (!target) return null;
    const { userId } = target.apiKey;
    const actor = userId === owner ? actorAmong(rows, change, owner) : null;
    if (userId === owner) refuseOtherEnvironment(target.apiKey, change);
    return { userId, locked: { target, actor } };
  });
}

/**
 * Does the same as `lockForChange` for a change that ends the key, and also works if other columns
 * of the key cannot be read.
 * @returns the key
 */
export async function lockToEnd(change: KeyChange, id: string): Promise<ApiKey | null> {
  const { apiKey } = change.acting;
  return lockWithOwner(change, id, async (owner) => {
    await lockIds(change, apiKey ? [id, apiKey.id] : [id]);
    const [target] = await endedKeys(change, [id], change.rules.derive);
    if (!target) return null;
    if (target.userId === owner && apiKey) {
      actorAmong(await readRows(change, [apiKey.id]), change, owner);
      refuseOtherEnvironment(target, change);
    }
    return { userId: target.userId, locked: target };
  });
}

/** @param lock locks the rows and reads them; null if the key is gone */
async function lockWithOwner<Locked>(
  change: KeyChange,
  id: string,
  lock: (owner: string) => Promise<{ readonly userId: string; readonly locked: Locked } | null>,
): Promise<Locked | null> {
  for (let attempt = 1; attempt <= MAX_MOVES; attempt++) {
    const owner = await lockOwnerOf(change, id, ownerOf(change.acting));
    if (owner === null) return null;
    const found = await lock(owner);
    if (found === null) return null;
    if (found.userId === owner) return found.locked;
  }
  throw new Error(`the owner of key ${id} keeps changing: try again`);
}

/**
 * Locks the acting key and reads its row again. The caller must have locked its owner.
 * @throws ApiKeyRefusal in the same cases as `lockForChange`
 */
export async function lockActor(change: KeyChange, owner: string): Promise<ApiKey | null> {
  const { apiKey } = change.acting;
  return apiKey ? actorAmong(await lockRows(change, [apiKey.id]), change, owner) : null;
}

/**
 * Reads the rows in a second statement. The statement that locks may have read the clock before it
 * waited for the lock.
 */
async function lockRows(change: KeyChange, ids: readonly string[]): Promise<ReadonlyMap<string, LockedKey>> {
  await lockIds(change, ids);
  return readRows(change, ids);
}

/** In order of id, so that two changes never wait for each other. */
async function lockIds({ session, table }: KeyChange, ids: readonly string[]): Promise<void> {
  await session.run(`SELECT FROM ${table} WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE`, [
    ids,
  ]);
}

async function readRows(
  { session, table, rules }: KeyChange,
  ids: readonly string[],
): Promise<ReadonlyMap<string, LockedKey>> {
  const rows = await session.rows(
    `SELECT ${API_KEY_COLUMNS}, ${expiredSql(rules.policy)}::text AS expired,
       (${isUnused(rules.policy.endUnusedAfterDays)})::text AS unused, ${moment('clock_timestamp()')} AS now,
       (SELECT s.id::text FROM ${table} s WHERE s.replaces_id = k.id LIMIT 1) AS successor_id
     FROM ${table} k WHERE id = ANY ($1::bigint[])`,
    [ids],
  );
  return new Map(rows.map((row) => [text(row, 'id'), lockedKey(row, rules.derive)]));
}

function lockedKey(row: Row, derive: DeriveFields): LockedKey {
  return {
    apiKey: apiKeyFromRow(row, derive),
    expired: flag(row, 'expired'),
    unused: flag(row, 'unused'),
    successorId: textOrNull(row, 'successor_id'),
    now: date(row, 'now'),
  };
}

function actorAmong(
  rows: ReadonlyMap<string, LockedKey>,
  { acting: { apiKey, needs = [] } }: KeyChange,
  owner: string,
): ApiKey | null {
  if (!apiKey) return null;
  const locked = rows.get(apiKey.id);
  if (!locked || locked.apiKey.userId !== owner) return refuseActor(apiKey, 'unknown');
  if (locked.apiKey.revokedAt) return refuseActor(apiKey, 'revoked');
  if (locked.apiKey.disabledAt) return refuseActor(apiKey, 'disabled');
  if (locked.expired) return refuseActor(apiKey, 'expired');
  refuseUnlessHeld(locked.apiKey, needs);
  return locked.apiKey;
}

/** @throws ApiKeyRefusal `INSUFFICIENT_SCOPE` */
function refuseUnlessHeld(apiKey: ApiKey, needs: readonly string[]): void {
  const missing = needs.filter((scope) => !apiKey.hasScope(scope));
  if (missing.length === 0) return;
  const refused = { reason: 'scope', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('INSUFFICIENT_SCOPE', { missing, asked: needs, refused });
}

function refuseActor(apiKey: ApiKey, reason: RefusedReason): never {
  throw new ApiKeyRefusal('INVALID_API_KEY', { refused: { reason, apiKey, masked: apiKey.masked } });
}
