import type { ApiKey } from './api-key.entity';
import { type Authority, ownShare } from './authority';
import { type SharedLimit } from './limits';

/** No key has more ancestors on record. */
export const MAX_ANCESTORS = 32;

/**
 * No key that another key makes or rotates shares more limits: each request would count on all of
 * them.
 */
export const MAX_SHARED_LIMITS = 32;

/** What a key is to its descendants. */
export type Ancestor = Pick<ApiKey, 'id' | 'ancestorIds'>;

/** Where a new key comes from, as its row says it. */
export interface Lineage {
  /** Oldest first. */
  readonly ancestorIds: readonly string[];
  readonly sharedLimits: readonly SharedLimit[] | null;
  readonly bucketId: string | null;
}

/** That of a key that no key made. */
export const NO_LINEAGE: Lineage = { ancestorIds: [], sharedLimits: null, bucketId: null };

/**
 * The keys whose making led to a new key: of each parent its ancestors and itself, oldest first,
 * each once.
 */
export function ancestorsOf(parents: readonly Ancestor[]): string[] {
  return [...new Set(parents.flatMap(({ id, ancestorIds }) => [...ancestorIds, id]))];
}

/**
 * The ancestors of a new key, at most 32: others than its parents leave the list, the oldest first.
 * Those that have ended or were rotated leave it before others, which do so only if `mustFit`. A
 * revocation still finds what one of them made through the keys between.
 * @param ended ids of ancestors that are revoked, expired, rotated or gone
 * @returns null if too many of them are live
 */
export function fitAncestors(
  parents: readonly Ancestor[],
  ended: ReadonlySet<string>,
  mustFit: boolean,
): readonly string[] | null {
  const isParent = new Set(parents.map(({ id }) => id));
  const kept = withoutOldest(ancestorsOf(parents), (id) => ended.has(id) && !isParent.has(id));
  if (kept.length <= MAX_ANCESTORS) return kept;
  return mustFit ? withoutOldest(kept, (id) => !isParent.has(id)) : null;
}

function withoutOldest(ids: readonly string[], mayGo: (id: string) => boolean): readonly string[] {
  const kept = [...ids];
  for (const id of ids) {
    if (kept.length <= MAX_ANCESTORS) break;
    if (mayGo(id)) kept.splice(kept.indexOf(id), 1);
  }
  return kept;
}

/** The bucket that the own limits of a key count in. */
export function bucketOf({ id, bucketId }: Pick<ApiKey, 'id' | 'bucketId'>): string {
  return bucketId ?? id;
}

/** The limits that a key hands on to the keys that it makes: those that it shares, and its own. */
export function shareOf(authority: Authority, bucket: string): readonly SharedLimit[] {
  return [...(authority.sharedLimits ?? []), ...ownShare(authority, bucket)];
}

/** Whether each use of a key counts on all of these limits too, in buckets that are not its own. */
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

/** One limit a bucket, without that of the key itself; null: none. */
export function mergeShares(
  shares: readonly SharedLimit[],
  ownBucket: string | null,
): readonly SharedLimit[] | null {
  const byBucket = new Map(shares.map((share) => [share.id, share]));
  if (ownBucket !== null) byBucket.delete(ownBucket);
  return byBucket.size === 0 ? null : [...byBucket.values()];
}
