import type { Row } from '../database/as-text';
import { flag } from '../database/fields';
import { asText } from '../database/own-names';

/** The states in which a key is refused, whatever its expiry. */
export type Stopped = 'revoked' | 'disabled';

/** SQL of the columns that `stoppedOf` reads. A value of any type counts. */
export const STOPPED = `${asText('(revoked_at IS NOT NULL)')} AS is_revoked, ${asText('(disabled_at IS NOT NULL)')} AS is_disabled`;

/**
 * Why a key is refused; null: it is not.
 * @throws UnreadableValue if a column is missing
 */
export function stoppedOf(row: Row): Stopped | null {
  const [isRevoked, isDisabled] = [flag(row, 'is_revoked'), flag(row, 'is_disabled')];
  if (isRevoked) return 'revoked';
  return isDisabled ? 'disabled' : null;
}
