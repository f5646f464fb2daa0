/** The triggers on table `api_keys` that the migration installs and the feed lives on. */
export const FEED_TRIGGERS = [
  'nestjs_api_key_feed_insert',
  'nestjs_api_key_feed_update',
  'nestjs_api_key_feed_delete',
  'nestjs_api_key_feed_truncate',
] as const;

/** The channel of a table: two tables in one database, as of two tenants, do not hear each other. */
export function feedChannel(tableOid: string): string {
  return `nestjs_api_key_feed_${tableOid}`;
}
