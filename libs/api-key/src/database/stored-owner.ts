import type { Database } from './database';
import { isUnfit } from './store-errors';

/** Whole numbers and UUIDs as every column writes them, so that PostgreSQL need not be asked. */
const AS_STORED = /^(?:0|[1-9]\d{0,18}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * An owner as column `user_id` writes it. The column may take other spellings, such as a UUID in
 * capitals or `0042`, and the library compares owners as text.
 * @returns what was given, if it can be no owner
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
