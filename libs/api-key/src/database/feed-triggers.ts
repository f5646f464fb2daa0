/** `ALWAYS`: in every session. `REPLICA`: only with `session_replication_role = replica`. */
export type TriggerRole = 'ALWAYS' | 'REPLICA';

/**
 * The triggers of the revocation feed on the table of keys, and when each trigger fires. The apply
 * worker of logical replication inserts rows without a statement, so that only row triggers fire.
 */
export const FEED_TRIGGERS = {
  nestjs_api_key_feed_insert: { event: 'AFTER INSERT', each: 'STATEMENT', role: 'ALWAYS' },
  nestjs_api_key_feed_replicated: { event: 'AFTER INSERT', each: 'ROW', role: 'REPLICA' },
  nestjs_api_key_feed_update: { event: 'AFTER UPDATE', each: 'ROW', role: 'ALWAYS' },
  nestjs_api_key_feed_delete: { event: 'AFTER DELETE', each: 'ROW', role: 'ALWAYS' },
  nestjs_api_key_feed_truncate: { event: 'AFTER TRUNCATE', each: 'STATEMENT', role: 'ALWAYS' },
} as const satisfies Record<string, { event: string; each: string; role: TriggerRole }>;

export type FeedTrigger = keyof typeof FEED_TRIGGERS;

/** The trigger for keys that logical replication inserts. */
export const REPLICATED_INSERTS: FeedTrigger = 'nestjs_api_key_feed_replicated';

export const FEED_TRIGGER_NAMES = Object.keys(FEED_TRIGGERS) as FeedTrigger[];

/** The function that these triggers call. */
export const FEED_FUNCTION = 'nestjs_api_key_feed';

/** The values of `tgenabled` with which a trigger fires as often as it must. */
const SUFFICIENT: Readonly<Record<TriggerRole, readonly string[]>> = { ALWAYS: ['A'], REPLICA: ['R', 'A'] };

/** SQL of a trigger. `create` alone makes a trigger that fires only in ordinary sessions. */
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

/** SQL that sets in which sessions a trigger fires. */
export function enableTrigger(name: string, table: string, role: TriggerRole): string {
  return `ALTER TABLE ${table} ENABLE ${role} TRIGGER ${name}`;
}

/** @param state the trigger's `tgenabled`; undefined: the trigger is missing */
export function firesEnough(name: FeedTrigger, state: string | undefined): boolean {
  return state !== undefined && SUFFICIENT[FEED_TRIGGERS[name].role].includes(state);
}

/** The row triggers, which a partition has too, each with every `tgenabled` that suffices. */
export function rowTriggerStates(): readonly (readonly [FeedTrigger, string])[] {
  return FEED_TRIGGER_NAMES.filter((name) => FEED_TRIGGERS[name].each === 'ROW').flatMap((name) =>
    SUFFICIENT[FEED_TRIGGERS[name].role].map((state) => [name, state] as const),
  );
}
