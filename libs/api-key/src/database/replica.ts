import type { Row } from './as-text';
import { asText } from './own-names';

/** Error code if a replica returned the result. */
export const REPLICA = 'EREPLICA';

/** SQL column that is true if the server is a replica. */
export const IS_STANDBY = `${asText('pg_catalog.pg_is_in_recovery()')} AS standby`;

/** Returns the error for a connection that leads to a replica. */
export function replica(): Error {
  return Object.assign(
    new Error('the connection is to a replica, which receives revocations late: connect to the primary'),
    { code: REPLICA },
  );
}

/**
 * Checks that the primary returned the rows. A replica may still show a revoked key as valid, and
 * may not show a new key yet.
 * @param rows rows of a statement with `IS_STANDBY`
 * @returns the error if a replica returned the rows, or null if the primary returned them
 */
export function replicaOf([row]: readonly Row[]): Error | null {
  return row?.standby === 'false' ? null : replica();
}
