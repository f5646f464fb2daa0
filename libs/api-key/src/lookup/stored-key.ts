import { apiKeyFromRow } from '../database/api-key.row';
import type { Row } from '../database/as-text';
import { numberOrNull, text, UnreadableValue } from '../database/fields';
import type { ApiKey } from '../model/api-key.entity';
import { type Stopped, stoppedOf } from './stopped';

/** A row of the table of keys, with the remaining times of the key by the database's clock. */
export interface StoredKey {
  readonly apiKey: ApiKey;
  /** The digest under which the key is stored. */
  readonly digest: string;
  /**
   * Why the key is refused, whatever its expiry is. Null if the key is neither revoked nor
   * disabled.
   */
  readonly stopped: Stopped | null;
  /**
   * Milliseconds until the key expires; 0 or less if the key has expired, null if it never expires.
   */
  readonly lifeMs: number | null;
  /**
   * Milliseconds until the key ends if nobody uses it; 0 or less if the key has ended, null if it
   * never ends unused.
   */
  readonly unusedMs: number | null;
}

/** Maps each digest to its key, or to an error if the row of the key cannot be read. */
export type FoundKeys = ReadonlyMap<string, StoredKey | Error>;

const TIMESTAMPTZ = '1184';
const UNIQUE = 'unique any more: CREATE UNIQUE INDEX on it';

/**
 * Returns the first key that is stored under one of the digests.
 * @throws Error if the row of the key cannot be read, or may be hidden
 */
export function firstOf(found: FoundKeys, digest: string, others: readonly string[]): StoredKey | null {
  for (const each of [digest, ...others]) {
    const stored = found.get(each);
    if (stored instanceof Error) throw stored;
    if (stored) return stored;
  }
  return null;
}

/**
 * Returns the key of each row by its digest. A table without its unique index can contain two rows
 * of one key. The result of such a key is an error, because the two rows may contradict each other.
 * @throws UnreadableValue if a digest cannot be read
 */
export function keysOf(rows: readonly Row[]): Map<string, StoredKey | Error> {
  const found = new Map<string, StoredKey | Error>();
  for (const row of rows) {
    const digest = text(row, 'key_digest');
    const isTwice = found.has(digest);
    found.set(digest, isTwice ? new UnreadableValue('key_digest', UNIQUE) : storedKeyOrError(row));
  }
  return found;
}

function storedKeyOrError(row: Row): StoredKey | Error {
  try {
    return storedKey(row);
  } catch (error) {
    return error as Error;
  }
}

/**
 * Reads a key from its row.
 * @throws UnreadableValue if a value cannot be read, or if `expires_at` is not timestamptz: other
 *   times depend on a time zone
 */
function storedKey(row: Row): StoredKey {
  if (text(row, 'expiry_type') !== TIMESTAMPTZ)
    throw new UnreadableValue('expires_at', 'a timestamptz any more: ALTER it to that');
  return {
    apiKey: apiKeyFromRow(row, () => {}),
    digest: text(row, 'key_digest'),
    stopped: stoppedOf(row),
    lifeMs: numberOrNull(row, 'life_ms'),
    unusedMs: numberOrNull(row, 'unused_ms'),
  };
}
