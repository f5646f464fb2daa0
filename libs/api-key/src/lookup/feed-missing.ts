import {
  FEED_FUNCTION,
  FEED_TRIGGER_NAMES,
  type FeedTrigger,
  feedTriggerSql,
  firesEnough,
  rowTriggerStates,
} from '../database/feed-triggers';
import { text } from '../database/fields';
import type { Session } from '../database/session';

const ROW_TRIGGERS = rowTriggerStates();

/** Error if changes of keys send no notification. A cached key may then already be revoked. */
export class FeedMissing extends Error {
  /** @param isHopeless whether an early retry would fail too */
  constructor(
    message: string,
    readonly isHopeless: boolean,
  ) {
    super(message);
  }
}

/**
 * Query for the tables whose rows are keys, but whose changes send no notification. These are
 * tables that inherit from the table of keys, foreign tables, and partitions with disabled
 * triggers. The query also finds a view in place of the table of keys.
 */
const UNHEARD = `WITH RECURSIVE kin AS (
    SELECT $1::regclass::oid AS oid, true AS is_root
    UNION SELECT i.inhrelid, false FROM pg_inherits i JOIN kin ON i.inhparent = kin.oid
  )
  SELECT kin.oid::regclass::text AS name FROM kin JOIN pg_class c USING (oid)
  WHERE c.relkind NOT IN ('r', 'p') OR NOT is_root AND (NOT c.relispartition OR ${new Set(ROW_TRIGGERS.map(([name]) => name)).size} > (
    SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = kin.oid AND t.tgparentid <> 0
      AND (t.tgname, t.tgenabled) IN (${ROW_TRIGGERS.map(([name, state]) => `('${name}', '${state}')`).join(', ')})))
  ORDER BY 1 LIMIT 10`;
const TRIGGERS =
  'SELECT tgname, tgenabled::text AS state FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal';

/**
 * Checks that each change of a key sends a notification.
 * @throws FeedMissing with instructions, if changes of some rows send no notification
 */
export async function checkFeedTriggers(session: Session): Promise<void> {
  await checkOwnTriggers(session);
  const unheard = await session.rows(UNHEARD, [session.tables.keys]);
  if (unheard.length === 0) return;
  const names = unheard.map((row) => text(row, 'name')).join(', ');
  throw new FeedMissing(
    `rows of ${session.tables.keys} are in ${names}, whose changes are not notified: use an ordinary table, or one ` +
      'with PARTITION BY whose partitions have all its triggers, enabled as on the table',
    true,
  );
}

async function checkOwnTriggers(session: Session): Promise<void> {
  const { tables } = session;
  const rows = await session.rows(TRIGGERS, [tables.keys]);
  const states = new Map(rows.map((row) => [text(row, 'tgname'), text(row, 'state')]));
  const wrong = FEED_TRIGGER_NAMES.filter((name) => !firesEnough(name, states.get(name)));
  if (wrong.length === 0) return;
  const missing = wrong.filter((name) => !states.has(name));
  const sqlOf = (name: FeedTrigger) => feedTriggerSql(name, tables.keys, tables.beside(FEED_FUNCTION));
  const call =
    missing.length > 0 ? 'call runMigrations(dataSource), which creates missing triggers, or run' : 'run';
  const statement = [
    ...missing.map((name) => sqlOf(name).create),
    ...wrong.map((name) => sqlOf(name).enable),
  ].join('; ');
  throw new FeedMissing(
    `triggers ${wrong.join(', ')} are missing or not enabled as needed: ${call} as the owner of the table: ${statement}`,
    true,
  );
}
