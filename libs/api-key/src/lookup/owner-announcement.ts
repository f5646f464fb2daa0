import type { Database } from '../database/database';
import { despiteFullQueue } from '../database/full-queue';
import { FEED_CHANNEL } from './feed-names';

/**
 * Maximum length of an owner's id in a notification, in bytes. The payload of a notification is
 * limited to 8,000 bytes. If an id is longer, all caches are cleared.
 */
const LONGEST_ID_BYTES = 7_000;

/** Notifies every instance that an owner changed. */
export async function announceOwner(database: Database, userId: string): Promise<void> {
  const payload = Buffer.byteLength(userId) > LONGEST_ID_BYTES ? '*' : `u:${userId}`;
  await despiteFullQueue(
    (work) => database.transaction(work, { turn: { kind: 'ending', lanes: [] } }),
    (session) =>
      session.run(
        `SELECT ${session.tables.beside('nestjs_api_key_tell')}('${FEED_CHANNEL}' || $1::regclass::oid::text, $2)`,
        [session.tables.keys, payload],
      ),
  );
}
