/** Before the oid of the table, the name of its channel. */
export const FEED_CHANNEL = 'nestjs_api_key_feed_';

/** The channel of a table: two tables in one database, as of two tenants, do not hear each other. */
export function feedChannel(tableOid: string): string {
  return `${FEED_CHANNEL}${tableOid}`;
}
