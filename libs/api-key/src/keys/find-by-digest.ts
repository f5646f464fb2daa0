import { API_KEY_COLUMNS, apiKeyFromRow, type DeriveFields } from '../database/api-key.row';
import type { Database } from '../database/database';
import { date, moment } from '../database/fields';
import type { ApiKey } from '../model/api-key.entity';

/** A stored key, and the time of the database when it was read. */
export interface KeyAtTime {
  readonly apiKey: ApiKey;
  readonly now: Date;
}

/**
 * Reads the key that is stored under one of the digests, past the cache. Writes nothing.
 * @returns null if there is no key; if there are several, the one of the first digest
 */
export async function findByDigest(
  database: Database,
  digests: readonly string[],
  derive: DeriveFields,
): Promise<KeyAtTime | null> {
  const [row] = await database.read((session) =>
    session.rows(
      `SELECT ${API_KEY_COLUMNS}, ${moment('clock_timestamp()')} AS now FROM ${session.tables.keys}
       WHERE key_digest = ANY ($1) ORDER BY array_position($2::text[], key_digest::text) LIMIT 1`,
      [digests, digests],
    ),
  );
  return row ? { apiKey: apiKeyFromRow(row, derive), now: date(row, 'now') } : null;
}
