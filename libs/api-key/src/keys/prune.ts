import { type ChangeTrail, changeEvent } from '../audit/change-trail';
import type { Trail } from '../audit/trail';
import { refuseUnavailable } from '../database/store-errors';
import type { Acting } from '../model/acting';
import { deleteEndedKeys } from './end-keys';

const BATCH = 1_000;

/** Called after each batch with the number of deletions so far. */
type Report = (removed: number) => void;

/**
 * Deletes keys that ended more than `days` days ago, and records an event for each key.
 * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if the database fails; earlier batches stay deleted
 */
export async function pruneKeys(
  changes: ChangeTrail,
  days: number,
  acting: Acting,
  report: Report,
): Promise<number> {
  let removed = 0;
  let after = '0';
  for (;;) {
    const gone = await changes
      .make(async (session) => {
        const keys = await deleteEndedKeys(session, days, { after, limit: BATCH });
        return { result: keys, events: keys.map((apiKey) => changeEvent('pruned', apiKey, acting, {})) };
      })
      .catch(refuseUnavailable);
    if (gone.length === 0) return removed;
    removed += gone.length;
    after = gone.reduce((last, { id }) => (BigInt(id) > BigInt(last) ? id : last), after);
    report(removed);
  }
}

/**
 * Deletes events that are older than `days` days.
 * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if the database fails; earlier batches stay deleted
 */
export async function pruneEvents(trail: Trail, days: number, report: Report): Promise<number> {
  let removed = 0;
  for (;;) {
    const gone = await trail.prune(days, BATCH).catch(refuseUnavailable);
    if (gone === 0) return removed;
    removed += gone;
    report(removed);
  }
}
