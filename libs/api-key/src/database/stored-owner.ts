import type { Database } from './database';
import { isUnfit } from './store-errors';

/** Whole numbers and UUIDs in the spelling of every column type. PostgreSQL need not be asked. */
const AS_STORED = /^(?:0|[1-9]\d{0,18}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * Returns an owner in the spelling of column `user_id`. The column may accept other spellings, such
 * as a UUID in capitals or `0042`, but the library compares owners as text.
 * @returns the given text if the column cannot hold it
 */
export async function storedOwner(database: Database, userId: string): Promise<string> {
  if (AS_STORED.test(userId)) return userId;
  try {
    const row = await database.read((session) =>
      session.row(
        `SELECT (CASE WHEN true THEN $1 ELSE (SELECT user_id FROM ${session.tables.keys} LIMIT 1) END)::text AS owner`,
        [userId],
      ),
    );
    return row.owner ?? userId;
  } catch (error) {
    if (isUnfit(error)) return userId;
    throw error;
  }
}
