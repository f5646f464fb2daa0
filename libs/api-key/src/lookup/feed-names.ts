/** The name of a channel without the oid of its table. */
export const FEED_CHANNEL = 'nestjs_api_key_feed_';

/**
 * The channel of a table. Each table has its own channel, so that two tables in one database, such
 * as those of two tenants, do not receive each other's notifications.
 */
export function feedChannel(tableOid: string): string {
  return `${FEED_CHANNEL}${tableOid}`;
}
