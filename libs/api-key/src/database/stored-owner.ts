import type { Database } from './database';
import { text } from './fields';
import { isUnfit } from './store-errors';
import type { ReadTurn } from './turns';

/** Runs reads: in transactions of their own, or in one of the application. */
export type Reads = Pick<Database, 'read'>;

/**
 * Pattern of whole numbers and UUIDs that every column type stores in the same spelling. So
 * PostgreSQL need not be asked.
 */
const AS_STORED = /^(?:0|[1-9]\d{0,18}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * Returns an owner in the spelling of the column `user_id`. The column may accept other spellings,
 * such as a UUID in capitals or `0042`, but the library compares owners as text.
 * @returns the given text if the column cannot contain it
 */
export async function storedOwner(database: Reads, userId: string, turn: ReadTurn): Promise<string> {
  return AS_STORED.test(userId) ? userId : ((await spellingOf(database, userId, turn)) ?? userId);
}

/**
 * Returns whether an error means that the column `user_id` cannot contain an owner, so that no key
 * has this owner. The same error may come from a trigger, or from a row that cannot be read.
 */
export async function isOfOwner(database: Reads, userId: string, error: unknown): Promise<boolean> {
  const turn = { kind: 'ending', lanes: [laneOfSpelling(userId)] } as const;
  return isUnfit(error) && (await spellingOf(database, userId, turn)) === null;
}

/** The lane in which an owner waits for the spelling of owners. */
export function laneOfSpelling(owner: string): string {
  return `spelling for owner ${owner}`;
}

/**
 * Returns the spelling of an owner in the column `user_id`, or null if the column cannot contain
 * the text.
 */
async function spellingOf(database: Reads, userId: string, turn: ReadTurn): Promise<string | null> {
  try {
    const row = await database.read(
      (session) =>
        session.row(
          `SELECT (CASE WHEN true THEN $1 ELSE (SELECT user_id FROM ${session.tables.keys} LIMIT 1) END)::text AS owner`,
          [userId],
        ),
      turn,
    );
    return text(row, 'owner');
  } catch (error) {
    if (isUnfit(error)) return null;
    throw error;
  }
}
