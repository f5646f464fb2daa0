import type { ApiKey } from './api-key.entity';
import { type Authority, ownShare } from './authority';
import { type SharedLimit } from './limits';

/** The largest number of ancestors that a key records. */
export const MAX_ANCESTORS = 32;

/**
 * The largest number of limits that a key shares if another key makes or rotates the key. Each
 * request would count on all of these limits.
 */
export const MAX_SHARED_LIMITS = 32;

/** The fields of a key that its descendants need. */
export type Ancestor = Pick<ApiKey, 'id' | 'ancestorIds'>;

/** The origin of a new key, in the form of its columns. */
export interface Lineage {
  /** Oldest first. A foreign key that rotated the replaced key is last. */
  readonly ancestorIds: readonly string[];
  readonly sharedLimits: readonly SharedLimit[] | null;
  readonly bucketId: string | null;
}

/** The lineage of a key that no other key made. */
export const NO_LINEAGE: Lineage = { ancestorIds: [], sharedLimits: null, bucketId: null };

/**
 * The ancestors of a new key: for each parent, the ancestors of the parent and the parent itself.
 * Oldest first, without duplicates. The last parent comes last.
 */
export function ancestorsOf(parents: readonly Ancestor[]): string[] {
  const all = new Set(parents.flatMap(({ id, ancestorIds }) => [...ancestorIds, id]));
  const last = parents.slice(-1).map(({ id }) => id);
  for (const id of last) all.delete(id);
  return [...all, ...last];
}

/**
 * The ancestors of a new key. If there are more than 32, ended ancestors are removed, oldest first,
 * until 32 are left. Parents and live ancestors stay, so that more than 32 may be left. A
 * revocation still finds the keys that a removed ancestor made, through the keys between.
 * @param ended ids of ancestors that are revoked, expired, rotated or deleted
 */
export function ancestorsToKeep(parents: readonly Ancestor[], ended: ReadonlySet<string>): readonly string[] {
  return withoutOldest(ancestorsOf(parents), parents, (id) => ended.has(id));
}

/**
 * Does the same as `ancestorsToKeep`. If more than 32 are left, live ancestors are removed too,
 * oldest first.
 */
export function fitAncestors(parents: readonly Ancestor[], ended: ReadonlySet<string>): readonly string[] {
  return withoutOldest(ancestorsToKeep(parents, ended), parents, () => true);
}

function withoutOldest(
  ids: readonly string[],
  parents: readonly Ancestor[],
  mayGo: (id: string) => boolean,
): readonly string[] {
  const isParent = new Set(parents.map(({ id }) => id));
  const kept = [...ids];
  for (const id of ids) {
    if (kept.length <= MAX_ANCESTORS) break;
    if (mayGo(id) && !isParent.has(id)) kept.splice(kept.indexOf(id), 1);
  }
  return kept;
}

/** Id of the bucket that counts the own limits of a key. */
export function bucketOf({ id, bucketId }: Pick<ApiKey, 'id' | 'bucketId'>): string {
  return bucketId ?? id;
}

/**
 * The limits that a key passes on to the keys that it makes: its shared limits and its own limits.
 */
export function shareOf(authority: Authority, bucket: string): readonly SharedLimit[] {
  return [...(authority.sharedLimits ?? []), ...ownShare(authority, bucket)];
}

/** Whether each use of a key also counts on all of these limits, in the buckets of other keys. */
export function countsOn(
  { sharedLimits }: Pick<ApiKey, 'sharedLimits'>,
  shares: readonly SharedLimit[],
): boolean {
  return shares.every(({ id, rateLimit, quota }) =>
    sharedLimits?.some(
      (shared) =>
        shared.id === id &&
        (rateLimit === null || shared.rateLimit !== null) &&
        (quota === null || shared.quota !== null),
    ),
  );
}

/**
 * Keeps one limit for each bucket, without the bucket of the key itself; null: no limit is left.
 */
export function mergeShares(
  shares: readonly SharedLimit[],
  ownBucket: string | null,
): readonly SharedLimit[] | null {
  const byBucket = new Map(shares.map((share) => [share.id, share]));
  if (ownBucket !== null) byBucket.delete(ownBucket);
  return byBucket.size === 0 ? null : [...byBucket.values()];
}
