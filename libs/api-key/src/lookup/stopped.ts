import type { Row } from '../database/as-text';
import { flag } from '../database/fields';
import { asText } from '../database/own-names';

/** Reasons to refuse a key, whatever its expiry is. */
export type Stopped = 'revoked' | 'disabled';

/**
 * SQL of the columns that `stoppedOf` reads. Any value that is not NULL stops a key, whatever its
 * type is.
 */
export const STOPPED = `${asText('(revoked_at IS NOT NULL)')} AS is_revoked, ${asText('(disabled_at IS NOT NULL)')} AS is_disabled`;

/**
 * Returns why a key is refused, or null if the key is neither revoked nor disabled.
 * @throws UnreadableValue if a column is missing
 */
export function stoppedOf(row: Row): Stopped | null {
  const [isRevoked, isDisabled] = [flag(row, 'is_revoked'), flag(row, 'is_disabled')];
  if (isRevoked) return 'revoked';
  return isDisabled ? 'disabled' : null;
}
