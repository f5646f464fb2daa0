/** Prefix of the channel names of the revocation feed. The oid of the table of keys follows. */
export const FEED_CHANNEL = 'nestjs_api_key_feed_';

/**
 * Returns the name of the channel for a table of keys. Each table has its own channel. So two
 * tables in one database, such as those of two tenants, do not receive each other's notifications.
 */
export function feedChannel(tableOid: string): string {
  return `${FEED_CHANNEL}${tableOid}`;
}
