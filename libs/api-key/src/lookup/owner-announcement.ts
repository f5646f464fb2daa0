import type { Database } from '../database/database';
import { despiteFullQueue } from '../database/full-queue';
import { FEED_CHANNEL } from './feed-names';

/** Longer ids do not fit into a notification, whose payload ends at 8,000 bytes: then everything is forgotten. */
const LONGEST_ID_BYTES = 7_000;

/** Tells every instance by the feed that an owner changed. */
export async function announceOwner(database: Database, userId: string): Promise<void> {
  const payload = Buffer.byteLength(userId) > LONGEST_ID_BYTES ? '*' : `u:${userId}`;
  await despiteFullQueue(
    (work) => database.transaction(work),
    (session) =>
      session.run(
        `SELECT ${session.tables.beside('nestjs_api_key_tell')}('${FEED_CHANNEL}' || $1::regclass::oid::text, $2)`,
        [session.tables.keys, payload],
      ),
  );
}
