import { type Change, changeEvent } from '../audit/change-trail';
import type { KeyDigests } from '../credential/digest';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyConflictError } from '../model/api-key.errors';
import type { Authority } from '../model/authority';
import { ancestorsOf, bucketOf, fitAncestors, type Lineage, mergeShares } from '../model/lineage';
import { refuseOverlaps } from './active-keys';
import { endedAmong } from './descendants';
import { authorityOf, refuseExcess, refuseTooManyLimits, sharesOf } from './key-authority';
import type { KeyChange } from './key-change';
import { environmentOfSuccessor } from './key-environment';
import { KeyNotWritten } from './key-not-written';
import { atMostLastExpiry } from './last-expiry';
import { type LockedKey, lockForChange } from './lock-key';
import { isBelow } from './may-undo';
import { type IssuedApiKey, insertKey } from './new-key';
import { type LifetimePolicy, permittedExpiry, successorExpiry } from './policy';

/** Options of a rotation. */
export interface Rotation {
  /** Seconds that the old key still works; 0 ends the old key at once. */
  readonly overlapSeconds: number;
  /** When the new key expires; undefined: the new key gets the lifetime of the old key. */
  readonly expiresAt: Date | null | undefined;
}

/**
 * Creates the successor of a key. The old key expires after the overlap at the latest.
 * @returns null if the key does not exist
 * @throws ApiKeyConflictError if the key is revoked, disabled, expired or already rotated, if no
 *   new key can have its environment, or if the successor would share too many limits
 * @throws ApiKeyPolicyError if option `policy` does not allow the successor
 * @throws ApiKeyAuthorityError if the successor would have more rights than the acting key
 */
export async function rotateKey(
  change: KeyChange,
  id: string,
  { overlapSeconds, expiresAt }: Rotation,
  digests: KeyDigests,
): Promise<Change<IssuedApiKey | null>> {
  const locked = await lockForChange(change, id);
  if (!locked) return { result: null, events: [] };
  const { target, actor } = locked;
  refuseUnlessRotatable(target);
  const environment = environmentOfSuccessor(target.apiKey, change);
  await refuseOverlaps(change, target.apiKey, overlapSeconds);
  const { acting, defaults, rules } = change;
  const authority: Authority = {
    ...authorityOf(target.apiKey, change),
    expiresAt: successorEnd(target, actor, expiresAt, rules.policy),
  };
  if (actor) refuseExcess(authority, authorityOf(actor, change), { defaults, isShared: true });
  await endAfter(change, id, overlapSeconds);
  const { userId, name, metadata } = target.apiKey;
  const lineage = await lineageFrom(change, target.apiKey, actor);
  const successor = { userId, name, metadata, ...authority, ...lineage, environment, replacesId: id };
  const issued = await insertKey(change, successor, digests);
  const { id: successorId, ancestorIds } = issued.apiKey;
  return {
    result: issued,
    events: [
      changeEvent('rotated', target.apiKey, acting, { successorId, overlapSeconds }),
      changeEvent('created', issued.apiKey, acting, { replacesId: id, ancestorIds }),
    ],
  };
}

/** A column may keep times in whole seconds, and round them up. */
const ROUNDED = "interval '1 second'";

/** @throws KeyNotWritten if the old key would live longer */
async function endAfter({ session, table }: KeyChange, id: string, overlapSeconds: number): Promise<void> {
  await session.run(
    `UPDATE ${table} SET expires_at = ends_at, updated_at = now()
     FROM (SELECT clock_timestamp() + $2 * interval '1 second' AS ends_at) AS overlap
     WHERE id = $1::bigint AND (expires_at IS NULL OR expires_at > ends_at)`,
    [id, overlapSeconds],
  );
  const kept = await session.rows(
    `SELECT FROM ${table} WHERE id = $1::bigint
       AND (expires_at IS NULL OR expires_at > clock_timestamp() + $2 * interval '1 second' + ${ROUNDED})`,
    [id, overlapSeconds],
  );
  if (kept.length > 0) throw new KeyNotWritten('ends');
}

/**
 * A successor descends from the old key, and from the acting key, because the holder of the
 * acting key has seen the successor. The successor counts in the bucket of the old key, so that a
 * rotation does not reset a limit.
 */
async function lineageFrom(change: KeyChange, old: ApiKey, actor: ApiKey | null): Promise<Lineage> {
  const maker = actor && actor.id !== old.id ? actor : null;
  const parents = maker ? await inOrder(change, old, maker) : [old];
  const ended = await endedAmong(change, ancestorsOf(parents));
  const bucketId = bucketOf(old);
  const shares = [...(old.sharedLimits ?? []), ...(maker ? sharesOf(maker, change) : [])];
  const sharedLimits = mergeShares(shares, bucketId);
  if (maker) refuseTooManyLimits(sharedLimits?.length ?? 0, change);
  return {
    ancestorIds: fitAncestors(parents, ended),
    sharedLimits,
    bucketId,
  };
}

/**
 * The last ancestor of a successor says whose right to undo the successor gets: that of the old
 * key, or none, because a key that may not undo what the old key did has seen the successor.
 */
async function inOrder(change: KeyChange, old: ApiKey, maker: ApiKey): Promise<readonly ApiKey[]> {
  return (await isBelow(change, old.id, maker.id)) ? [maker, old] : [old, maker];
}

function refuseUnlessRotatable({ apiKey, expired, successorId }: LockedKey): void {
  if (apiKey.revokedAt)
    throw new ApiKeyConflictError(`key ${apiKey.id} is revoked: create a new one instead`);
  if (apiKey.disabledAt) throw new ApiKeyConflictError(`key ${apiKey.id} is disabled: enable it first`);
  if (successorId !== null)
    throw new ApiKeyConflictError(
      `key ${apiKey.id} was rotated already: rotate its successor ${successorId}`,
    );
  if (expired) throw new ApiKeyConflictError(`key ${apiKey.id} has expired: create a new one instead`);
}

/** @throws ApiKeyPolicyError if the policy does not allow the expiry */
function successorEnd(
  target: LockedKey,
  actor: ApiKey | null,
  asked: Date | null | undefined,
  policy: LifetimePolicy,
): Date | null {
  if (asked !== undefined) return permittedExpiry(asked, target.now, policy);
  return successorExpiry(sameLifeAgain(target), actor?.expiresAt ?? null, target.now, policy);
}

/**
 * Returns the default expiry of a successor. A key that was issued for 90 days gets a successor for
 * 90 days.
 */
function sameLifeAgain({ apiKey, now }: LockedKey): Date | null {
  const { expiresAt, createdAt } = apiKey;
  const issuedAt = createdAt < now ? createdAt : now;
  return expiresAt && atMostLastExpiry(now.getTime() + Math.max(0, expiresAt.getTime() - issuedAt.getTime()));
}
