import type { Row } from './as-text';
import { asText } from './own-names';

/** The code of the error of an answer that a replica gave. */
export const REPLICA = 'EREPLICA';

/** A column that says whether a replica answers. */
export const IS_STANDBY = `${asText('pg_catalog.pg_is_in_recovery()')} AS standby`;

/** What is said of a connection that leads to a replica. */
export function replica(): Error {
  return Object.assign(
    new Error('the connection leads to a replica, which hears of a revocation late: connect to the primary'),
    { code: REPLICA },
  );
}

/**
 * A replica may show a key that was revoked, and none that was just made.
 * @param rows of a statement with `IS_STANDBY`
 * @returns why they do not count; null if the primary gave them
 */
export function replicaOf([row]: readonly Row[]): Error | null {
  return row?.standby === 'false' ? null : replica();
}
