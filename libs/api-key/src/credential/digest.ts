import { createHmac, hash, type KeyObject } from 'node:crypto';

/**
 * Digest of a whole raw key in hex, as the column `key_digest` holds it: its SHA-256, or with a pepper its HMAC-SHA-256 (RFC 2104)
 * under that. A slow password hash would add nothing to 256 random bits and would cost the event loop.
 */
export function digestKey(key: string, pepper: KeyObject | null = null): string {
  return pepper === null ? hash('sha256', key) : createHmac('sha256', pepper).update(key).digest('hex');
}

/** What keys may be stored under. */
export interface Peppers {
  /** Newest first, 1 or more; null: the plain SHA-256. */
  readonly known: readonly (KeyObject | null)[];
  /** One that is newer than all of them, and not in use here yet. */
  readonly upcoming: KeyObject | null;
}

/** The digests that a key may be stored under. */
export class KeyDigests {
  private readonly newestPepper: KeyObject | null;
  private readonly others: readonly (KeyObject | null)[];
  private readonly upcoming: KeyObject | null;

  constructor({ known: [newest = null, ...older], upcoming }: Peppers) {
    this.newestPepper = newest;
    this.others = upcoming ? [upcoming, ...older] : older;
    this.upcoming = upcoming;
  }

  /** The one that new keys are stored under. */
  newest(key: string): string {
    return digestKey(key, this.newestPepper);
  }

  /** All others. */
  othersOf(key: string): readonly string[] {
    return this.others.map((pepper) => digestKey(key, pepper));
  }

  /** Whether a key that is stored under another digest than the newest shall be stored under that. */
  isOld(key: string, digest: string): boolean {
    return this.upcoming === null || digest !== digestKey(key, this.upcoming);
  }
}
