import {
  createFeedTrigger,
  enableAlways,
  FEED_FUNCTION,
  FEED_TRIGGER_NAMES,
} from '../database/feed-triggers';
import { text } from '../database/fields';
import type { Session } from '../database/session';

/** Changes of keys send no notification, so a cached key may already be revoked. */
export class FeedMissing extends Error {
  /** @param isHopeless whether a retry in a moment would fail too */
  constructor(
    message: string,
    readonly isHopeless: boolean,
  ) {
    super(message);
  }
}

/**
 * Lists tables that hold keys and do not notify changes: tables that inherit from the table of
 * keys, foreign tables, and partitions whose triggers are off; also a view in place of the table.
 */
const UNHEARD = `WITH RECURSIVE kin AS (
    SELECT $1::regclass::oid AS oid, true AS is_root
    UNION SELECT i.inhrelid, false FROM pg_inherits i JOIN kin ON i.inhparent = kin.oid
  )
  SELECT kin.oid::regclass::text AS name FROM kin JOIN pg_class c USING (oid)
  WHERE c.relkind NOT IN ('r', 'p') OR NOT is_root AND (NOT c.relispartition OR 2 > (
    SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = kin.oid AND t.tgparentid <> 0 AND t.tgenabled = 'A'
      AND t.tgname IN ('nestjs_api_key_feed_update', 'nestjs_api_key_feed_delete')))
  ORDER BY 1 LIMIT 10`;
const TRIGGERS =
  'SELECT tgname, tgenabled::text AS state FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal';
/** The value of `tgenabled` for a trigger that is ENABLE ALWAYS. */
const ALWAYS = 'A';

/** @throws FeedMissing if changes of some rows are not told; it says what to do */
export async function checkFeedTriggers(session: Session): Promise<void> {
  await checkOwnTriggers(session);
  const unheard = await session.rows(UNHEARD, [session.tables.keys]);
  if (unheard.length === 0) return;
  const names = unheard.map((row) => text(row, 'name')).join(', ');
  throw new FeedMissing(
    `rows of ${session.tables.keys} are in ${names}, whose changes are not notified: use an ordinary table, or one ` +
      'with PARTITION BY whose triggers are all ENABLE ALWAYS',
    true,
  );
}

async function checkOwnTriggers(session: Session): Promise<void> {
  const { tables } = session;
  const rows = await session.rows(TRIGGERS, [tables.keys]);
  const states = new Map(rows.map((row) => [text(row, 'tgname'), text(row, 'state')]));
  const wrong = FEED_TRIGGER_NAMES.filter((name) => states.get(name) !== ALWAYS);
  if (wrong.length === 0) return;
  const missing = wrong.filter((name) => !states.has(name));
  const call =
    missing.length > 0 ? 'call runMigrations(dataSource), which creates missing triggers, or run' : 'run';
  const statement = [
    ...missing.map((name) => createFeedTrigger(name, tables.keys, tables.beside(FEED_FUNCTION))),
    ...wrong.map((name) => enableAlways(name, tables.keys)),
  ].join('; ');
  throw new FeedMissing(
    `triggers ${wrong.join(', ')} are missing or not ENABLE ALWAYS: ${call} as the owner of the table: ${statement}`,
    true,
  );
}
