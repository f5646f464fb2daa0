/** The triggers of the revocation feed on the table of keys, and when each trigger fires. */
export const FEED_TRIGGERS = {
  nestjs_api_key_feed_insert: { event: 'AFTER INSERT', each: 'STATEMENT' },
  nestjs_api_key_feed_update: { event: 'AFTER UPDATE', each: 'ROW' },
  nestjs_api_key_feed_delete: { event: 'AFTER DELETE', each: 'ROW' },
  nestjs_api_key_feed_truncate: { event: 'AFTER TRUNCATE', each: 'STATEMENT' },
} as const;

export type FeedTrigger = keyof typeof FEED_TRIGGERS;

export const FEED_TRIGGER_NAMES = Object.keys(FEED_TRIGGERS) as FeedTrigger[];

/** The function that these triggers call. */
export const FEED_FUNCTION = 'nestjs_api_key_feed';

/** SQL that creates a trigger. The new trigger is not yet ENABLE ALWAYS. */
export function createFeedTrigger(name: FeedTrigger, table: string, feedFunction: string): string {
  const { event, each } = FEED_TRIGGERS[name];
  return `CREATE TRIGGER ${name} ${event} ON ${table} FOR EACH ${each} EXECUTE FUNCTION ${feedFunction}()`;
}

/** SQL that makes a trigger fire also in a session with `session_replication_role = replica`. */
export function enableAlways(name: string, table: string): string {
  return `ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${name}`;
}
