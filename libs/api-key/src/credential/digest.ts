import { createHmac, hash, type KeyObject } from 'node:crypto';

/**
 * Returns the digest of a whole raw key in hex, as stored in the column `key_digest`: SHA-256, or
 * HMAC-SHA-256 (RFC 2104) if a pepper is configured. A slow password hash would not protect 256
 * random bits better, and would block the event loop.
 */
export function digestKey(key: string, pepper: KeyObject | null = null): string {
  return pepper === null ? hash('sha256', key) : createHmac('sha256', pepper).update(key).digest('hex');
}

/** The peppers under which keys may be stored. */
export interface Peppers {
  /** Peppers in use, newest first. The list has at least one element. null means plain SHA-256. */
  readonly known: readonly [newest: KeyObject | null, ...older: (KeyObject | null)[]];
  /**
   * A pepper that is newer than all peppers of `known`, and that this instance does not use for new
   * keys yet.
   */
  readonly upcoming: KeyObject | null;
}

/** Computes the digests under which a key may be stored. */
export class KeyDigests {
  private readonly newestPepper: KeyObject | null;
  private readonly others: readonly (KeyObject | null)[];
  private readonly upcoming: KeyObject | null;

  constructor({ known: [newest, ...older], upcoming }: Peppers) {
    this.newestPepper = newest;
    this.others = upcoming ? [upcoming, ...older] : older;
    this.upcoming = upcoming;
  }

  /** Returns the digest under which new keys are stored. */
  newest(key: string): string {
    return digestKey(key, this.newestPepper);
  }

  /** Returns all digests of a key except the newest digest. */
  othersOf(key: string): readonly string[] {
    return this.others.map((pepper) => digestKey(key, pepper));
  }

  /**
   * Returns whether a key that is stored under `digest` must be stored again under the newest
   * digest. False for the digest of the upcoming pepper.
   */
  isOld(key: string, digest: string): boolean {
    return this.upcoming === null || digest !== digestKey(key, this.upcoming);
  }
}
