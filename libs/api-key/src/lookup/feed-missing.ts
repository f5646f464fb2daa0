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

const TRIGGERS =
  'SELECT tgname, tgenabled::text AS state FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal';
/** The value of `tgenabled` for a trigger that is ENABLE ALWAYS. */
const ALWAYS = 'A';

/**
 * @throws FeedMissing if a trigger of the feed is missing or may not fire. The message has the SQL
 *   to run.
 */
export async function checkFeedTriggers(session: Session): Promise<void> {
  const { tables } = session;
  const rows = await session.rows(TRIGGERS, [tables.keys]);
  const states = new Map(rows.map((row) => [text(row, 'tgname'), text(row, 'state')]));
  const wrong = FEED_TRIGGER_NAMES.filter((name) => states.get(name) !== ALWAYS);
  if (wrong.length === 0) return;
  const missing = wrong.filter((name) => !states.has(name));
  const call =
    missing.length > 0
      ? 'call runMigrations(dataSource), which creates those that are missing, or run'
      : 'run';
  const statement = [
    ...missing.map((name) => createFeedTrigger(name, tables.keys, tables.beside(FEED_FUNCTION))),
    ...wrong.map((name) => enableAlways(name, tables.keys)),
  ].join('; ');
  throw new FeedMissing(
    `triggers ${wrong.join(', ')} are missing or not ENABLE ALWAYS: ${call} as the owner of the table: ${statement}`,
    true,
  );
}
