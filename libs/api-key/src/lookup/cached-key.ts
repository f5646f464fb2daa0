import type { ApiKey } from '../model/api-key.entity';
import type { Stopped } from './stopped';
import type { StoredKey } from './stored-key';

/**
 * Maximum age of a cache entry before a new look-up, in milliseconds. The monotonic clock of this
 * machine measures the expiry of cached keys. NTP corrects at most 500 parts per million. If the
 * clock is slow by that rate, a key expires 2 s late after an hour, and 5 minutes late after a
 * week.
 */
export const LONGEST_AGE_MS = 3_600_000;
/** Fraction of the maximum age over which the new look-ups of entries are spread. */
const SPREAD = 0.25;
/** Milliseconds until the next attempt, if the new look-up of a cache entry failed. */
const RETRY_MS = 10_000;
/**
 * Milliseconds for which a key that ended unused is cached. A use that is written late revives the
 * key.
 */
const UNUSED_MS = 10_000;

/** Result of a look-up that found a key, valid at one moment. */
export interface KnownKey {
  readonly apiKey: ApiKey;
  readonly stopped: Stopped | null;
  readonly expired: boolean;
  /** Whether the key has ended because nobody used it. */
  readonly unused: boolean;
  /** The digest in the key's row, or null if the key was looked up by this digest. */
  readonly outdated: string | null;
}

/** Start of a look-up. The result of the look-up was correct at this moment. */
export interface Asked {
  readonly session: number;
  /** Milliseconds on the monotonic clock. */
  readonly askedAt: number;
  /** The same moment as `askedAt`, in milliseconds on the wall clock. */
  readonly askedWall: number;
}

/** Cache entry of a digest under which no key is stored. */
export interface CachedUnknown extends Asked {
  /** Time of the next look-up of this digest, in milliseconds on the monotonic clock. */
  readonly rereadAt: number;
}

/** Cache entry of a key. Its times are milliseconds on the monotonic clock. */
export interface CachedKey extends Asked {
  readonly id: string;
  readonly live: KnownKey;
  readonly expired: KnownKey;
  /** Time at which the key expires, or Infinity if the key never expires. */
  readonly expiresAt: number;
  /**
   * Time at which the key ends unless somebody has used it. Infinity if the key never ends unused,
   * or has already ended. Any instance can write a use, and no notification reports uses. So only a
   * new look-up shows whether the key was used.
   */
  readonly unusedAt: number;
  /** Time from which the key must be looked up again. */
  rereadAt: number;
  /**
   * The earlier of `expiresAt` and `rereadAt`. So the check of a valid key costs one comparison.
   */
  liveUntil: number;
}

/** Returns the state of a stored key at the start of its look-up. */
export function knownKey({ apiKey, digest, stopped, lifeMs, unusedMs }: StoredKey, asked: string): KnownKey {
  return {
    apiKey,
    stopped,
    expired: lifeMs !== null && lifeMs <= 0,
    unused: unusedMs !== null && unusedMs <= 0,
    outdated: digest === asked ? null : digest,
  };
}

/**
 * Returns the cache entry of a stored key. All times count from the start of the look-up, so that
 * no key ends too late.
 */
export function cachedKey(
  digest: string,
  { session, askedAt, askedWall }: Asked,
  known: KnownKey,
  { lifeMs, unusedMs }: Pick<StoredKey, 'lifeMs' | 'unusedMs'>,
): CachedKey {
  const expiresAt = lifeMs === null ? Number.POSITIVE_INFINITY : askedAt + lifeMs;
  const unusedAt = unusedMs === null || known.unused ? Number.POSITIVE_INFINITY : askedAt + unusedMs;
  const rereadAt = Math.min(askedAt + (known.unused ? UNUSED_MS : ageLimitMs(digest)), unusedAt);
  return {
    session,
    askedAt,
    askedWall,
    id: known.apiKey.id,
    live: Object.freeze({ ...known }),
    expired: Object.freeze({ ...known, expired: true }),
    expiresAt,
    unusedAt,
    rereadAt,
    liveUntil: Math.min(expiresAt, rereadAt),
  };
}

export function cachedUnknown(digest: string, { session, askedAt, askedWall }: Asked): CachedUnknown {
  return { session, askedAt, askedWall, rereadAt: askedAt + ageLimitMs(digest) };
}

/**
 * Returns the state of a cached key at the time `now`, or undefined if the key must be looked up
 * again.
 */
export function keyAt(entry: CachedKey, now: number): KnownKey | undefined {
  if (now < entry.liveUntil) return entry.live;
  return now < entry.rereadAt ? entry.expired : undefined;
}

/**
 * Postpones the next look-up of a cache entry after a look-up has failed. So a slow or unreachable
 * database ends no cached key before the lease ends. A key that may have ended unused is not
 * accepted until a look-up has read its last use.
 */
export function postpone(entry: CachedKey, now: number): void {
  entry.rereadAt = Math.min(Math.max(entry.rereadAt, now + RETRY_MS), entry.unusedAt);
  entry.liveUntil = Math.min(entry.expiresAt, entry.rereadAt);
}

/** Returns the milliseconds until a cache entry is looked up again: 45 to 60 minutes. */
function ageLimitMs(digest: string): number {
  const fraction = (Number.parseInt(digest.slice(0, 8), 16) || 0) / 2 ** 32;
  return LONGEST_AGE_MS * (1 - SPREAD * fraction);
}
