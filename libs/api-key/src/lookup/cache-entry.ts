import type { ApiKey } from '../model/api-key.entity';
import type { StoredKey } from './stored-key';

/** A key that was looked up, as it is now. */
export interface KnownKey {
  readonly apiKey: ApiKey;
  readonly revoked: boolean;
  readonly expired: boolean;
  /** Whether the key has ended because nobody used it. */
  readonly unused: boolean;
  /** The digest that the key is stored under; null if it is the digest of the look-up. */
  readonly outdated: string | null;
}

/** When something was looked up, and in which session of the lease. */
export interface Remembered {
  readonly session: number;
  readonly askedAt: number;
  /** The same moment on the wall clock. */
  readonly askedWall: number;
}

/** A cached key. Times are on the monotonic clock. */
export interface Entry extends Remembered {
  readonly id: string;
  readonly live: KnownKey;
  readonly expired: KnownKey;
  /** null: the key never expires. */
  readonly expiresAt: number | null;
  /**
   * When the key must be looked up again, because it ends then unless it was used; null: never. Its
   * last use is written by any instance, and no notification tells of it.
   */
  readonly rereadAt: number | null;
}

/** Milliseconds for which a key that ended unused is cached. A late write of a use revives it. */
const UNUSED_MS = 10_000;

/** Returns what is known of a stored key now. */
export function knownKey({ apiKey, digest, revoked, lifeMs, unusedMs }: StoredKey, asked: string): KnownKey {
  return {
    apiKey,
    revoked,
    expired: lifeMs !== null && lifeMs <= 0,
    unused: unusedMs !== null && unusedMs <= 0,
    outdated: digest === asked ? null : digest,
  };
}

/**
 * Returns the entry of a stored key. Its times count from the start of the look-up, so that a key
 * never ends too late.
 */
export function entryOf(known: KnownKey, { lifeMs, unusedMs }: StoredKey, asked: Remembered): Entry {
  const { session, askedAt, askedWall } = asked;
  const rereadMs = unusedMs !== null && unusedMs <= 0 ? UNUSED_MS : unusedMs;
  return {
    session,
    askedAt,
    askedWall,
    id: known.apiKey.id,
    live: Object.freeze({ ...known }),
    expired: Object.freeze({ ...known, expired: true }),
    expiresAt: lifeMs === null ? null : askedAt + lifeMs,
    rereadAt: rereadMs === null ? null : askedAt + rereadMs,
  };
}
