import type { ApiKey } from '../model/api-key.entity';
import type { Stopped } from './stopped';
import type { StoredKey } from './stored-key';

/**
 * The longest use of a cache entry without a new look-up, in milliseconds. Expiries are counted on
 * the monotonic clock of this machine. If this clock is slow by 500 parts per million, which is the
 * most that NTP corrects, a key expires 2 s late after an hour, and 5 minutes late after a week.
 */
export const LONGEST_AGE_MS = 3_600_000;
/** Entries that were read together are read again within this part of the longest age. */
const SPREAD = 0.25;
/** Milliseconds until the next attempt if the new look-up of an entry failed. */
const RETRY_MS = 10_000;
/** Milliseconds for which a key that ended unused is cached. A late write of a use revives it. */
const UNUSED_MS = 10_000;

/** A key that was looked up, as it is now. */
export interface KnownKey {
  readonly apiKey: ApiKey;
  readonly stopped: Stopped | null;
  readonly expired: boolean;
  /** Whether the key has ended because nobody used it. */
  readonly unused: boolean;
  /** The digest that the key is stored under; null if it is the digest of the look-up. */
  readonly outdated: string | null;
}

/** The beginning of a look-up, for which its result was right. */
export interface Asked {
  readonly session: number;
  /** On the monotonic clock. */
  readonly askedAt: number;
  /** The same moment on the wall clock. */
  readonly askedWall: number;
}

/** A digest without a key. */
export interface CachedUnknown extends Asked {
  /** On the monotonic clock: from then on, the digest is looked up again. */
  readonly rereadAt: number;
}

/** A key, and its times on the monotonic clock. */
export interface CachedKey extends Asked {
  readonly id: string;
  readonly live: KnownKey;
  readonly expired: KnownKey;
  /** Infinity: the key never expires. */
  readonly expiresAt: number;
  /**
   * The key ends then unless it was used. Its uses are written by any instance, and no notification
   * reports them, so only a new look-up can tell. Infinity: it does not end, or has ended already.
   */
  readonly unusedAt: number;
  /** From then on, the key is looked up again. */
  rereadAt: number;
  /** The earlier of expiry and new look-up, so that a valid key costs one comparison. */
  liveUntil: number;
}

/** Returns what is known of a stored key now. */
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
 * Returns the entry of a stored key. Its times count from the start of the look-up, so that a key
 * never ends too late.
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

/** The key of an entry now; undefined if the key must be looked up again. */
export function keyAt(entry: CachedKey, now: number): KnownKey | undefined {
  if (now < entry.liveUntil) return entry.live;
  return now < entry.rereadAt ? entry.expired : undefined;
}

/**
 * Postpones the new look-up of an entry, because one has just failed. A database that is slow or
 * away thus ends no cached key before the lease does. But a key that may have ended unused is not
 * accepted until its last use is known.
 */
export function postpone(entry: CachedKey, now: number): void {
  entry.rereadAt = Math.min(Math.max(entry.rereadAt, now + RETRY_MS), entry.unusedAt);
  entry.liveUntil = Math.min(entry.expiresAt, entry.rereadAt);
}

/** Milliseconds that an entry is used without a new look-up: 45 to 60 minutes. */
function ageLimitMs(digest: string): number {
  const fraction = (Number.parseInt(digest.slice(0, 8), 16) || 0) / 2 ** 32;
  return LONGEST_AGE_MS * (1 - SPREAD * fraction);
}
