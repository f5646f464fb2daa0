import type { DataSource } from 'typeorm';
import { despiteFullQueue } from '../full-queue';
import { apiKeyTable, besideKeys } from './api-key.row';
import { FEED_CHANNEL } from './feed-names';

/** Longer ids do not fit into a notification, whose payload ends at 8,000 bytes: then everything is forgotten. */
const LONGEST_ID_BYTES = 7_000;

/** Tells every instance by the feed that an owner changed. */
export async function announceOwner(dataSource: DataSource, userId: string): Promise<void> {
  const payload = Buffer.byteLength(userId) > LONGEST_ID_BYTES ? '*' : `u:${userId}`;
  const tell = besideKeys(dataSource, 'nestjs_api_key_tell');
  await despiteFullQueue(
    (work) => dataSource.transaction(work),
    (manager) =>
      manager.query(`SELECT ${tell}('${FEED_CHANNEL}' || $1::regclass::oid, $2)`, [
        apiKeyTable(dataSource),
        payload,
      ]),
  );
}
