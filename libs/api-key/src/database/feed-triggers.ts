/**
 * Sessions in which a trigger fires. `ALWAYS`: every session. `REPLICA`: only sessions with
 * `session_replication_role = replica`.
 */
export type TriggerRole = 'ALWAYS' | 'REPLICA';

/**
 * The triggers of the revocation feed on the table of keys, and when each trigger fires. The apply
 * worker of logical replication inserts rows without a statement, so only row triggers fire.
 */
export const FEED_TRIGGERS = {
  nestjs_api_key_feed_insert: { event: 'AFTER INSERT', each: 'STATEMENT', role: 'ALWAYS' },
  nestjs_api_key_feed_replicated: { event: 'AFTER INSERT', each: 'ROW', role: 'REPLICA' },
  nestjs_api_key_feed_update: { event: 'AFTER UPDATE', each: 'ROW', role: 'ALWAYS' },
  nestjs_api_key_feed_delete: { event: 'AFTER DELETE', each: 'ROW', role: 'ALWAYS' },
  nestjs_api_key_feed_truncate: { event: 'AFTER TRUNCATE', each: 'STATEMENT', role: 'ALWAYS' },
} as const satisfies Record<string, { event: string; each: string; role: TriggerRole }>;

export type FeedTrigger = keyof typeof FEED_TRIGGERS;

/** Name of the trigger for keys that logical replication inserts. */
export const REPLICATED_INSERTS: FeedTrigger = 'nestjs_api_key_feed_replicated';

export const FEED_TRIGGER_NAMES = Object.keys(FEED_TRIGGERS) as FeedTrigger[];

/** Name of the function that the triggers of the revocation feed call. */
export const FEED_FUNCTION = 'nestjs_api_key_feed';

/** Values of `tgenabled` with which a trigger fires in all necessary sessions, by trigger role. */
const SUFFICIENT: Readonly<Record<TriggerRole, readonly string[]>> = { ALWAYS: ['A'], REPLICA: ['R', 'A'] };

/** SQL of a trigger. `create` alone creates a trigger that fires only in ordinary sessions. */
export interface TriggerSql {
  readonly create: string;
  readonly enable: string;
}

export function feedTriggerSql(name: FeedTrigger, table: string, feedFunction: string): TriggerSql {
  const { event, each, role } = FEED_TRIGGERS[name];
  return {
    create: `CREATE TRIGGER ${name} ${event} ON ${table} FOR EACH ${each} EXECUTE FUNCTION ${feedFunction}()`,
    enable: enableTrigger(name, table, role),
  };
}

/** Returns SQL that sets the sessions in which a trigger fires. */
export function enableTrigger(name: string, table: string, role: TriggerRole): string {
  return `ALTER TABLE ${table} ENABLE ${role} TRIGGER ${name}`;
}

/**
 * Returns whether a trigger fires in all necessary sessions.
 * @param state the trigger's `tgenabled`, or undefined if the trigger is missing
 */
export function firesEnough(name: FeedTrigger, state: string | undefined): boolean {
  return state !== undefined && SUFFICIENT[FEED_TRIGGERS[name].role].includes(state);
}

/** Returns the row triggers, which partitions have too, each with every sufficient `tgenabled`. */
export function rowTriggerStates(): readonly (readonly [FeedTrigger, string])[] {
  return FEED_TRIGGER_NAMES.filter((name) => FEED_TRIGGERS[name].each === 'ROW').flatMap((name) =>
    SUFFICIENT[FEED_TRIGGERS[name].role].map((state) => [name, state] as const),
  );
}
