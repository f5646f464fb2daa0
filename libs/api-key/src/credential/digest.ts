import { createHmac, hash, type KeyObject } from 'node:crypto';

/**
 * Digest of a whole raw key in hex, as stored in column `key_digest`: SHA-256, or HMAC-SHA-256 (RFC
 * 2104) if there is a pepper. A slow password hash would not protect 256 random bits better, and
 * would block the event loop.
 */
export function digestKey(key: string, pepper: KeyObject | null = null): string {
  return pepper === null ? hash('sha256', key) : createHmac('sha256', pepper).update(key).digest('hex');
}

/** The peppers under which keys may be stored. */
export interface Peppers {
  /** null stands for plain SHA-256. */
  readonly known: readonly [newest: KeyObject | null, ...older: (KeyObject | null)[]];
  /** A pepper that is newer than all of `known`, and that this instance does not use yet. */
  readonly upcoming: KeyObject | null;
}

/** The digests under which a key may be stored. */
export class KeyDigests {
  private readonly newestPepper: KeyObject | null;
  private readonly others: readonly (KeyObject | null)[];
  private readonly upcoming: KeyObject | null;

  constructor({ known: [newest, ...older], upcoming }: Peppers) {
    this.newestPepper = newest;
    this.others = upcoming ? [upcoming, ...older] : older;
    this.upcoming = upcoming;
  }

  /** The digest under which new keys are stored. */
  newest(key: string): string {
    return digestKey(key, this.newestPepper);
  }

  /** All digests except the newest. */
  othersOf(key: string): readonly string[] {
    return this.others.map((pepper) => digestKey(key, pepper));
  }

  /**
   * Whether a key with a digest other than the newest must be stored again under the newest. False
   * for the digest of the upcoming pepper.
   */
  isOld(key: string, digest: string): boolean {
    return this.upcoming === null || digest !== digestKey(key, this.upcoming);
  }
}
