import type { PoolClient } from 'pg';
import type { Row } from './as-text';
import { STAY_OPEN } from './begin';
import { asText } from './own-names';
import { isUntranslatable } from './store-errors';

/** Called with the result of a statement. */
export type Told = (error: Error | null, rows?: readonly Row[]) => void;

/** Sends a statement. */
export type Ask = (told: Told) => void;

/** SQL column with the encoding in which the session sends texts. */
export const ENCODING = `${asText("pg_catalog.current_setting('client_encoding')")} AS encoding`;

/**
 * Returns whether the session sends texts in another encoding than UTF-8. `pg` reads all texts as
 * UTF-8.
 * @param rows rows of a statement with `ENCODING`
 */
export function isGarbled(error: Error | null, [row]: readonly Row[]): boolean {
  return error ? isUntranslatable(error) : row !== undefined && row.encoding !== 'UTF8';
}

/** Sends a statement in UTF-8. Afterwards, the session has its own encoding again. */
export function inUtf8(client: PoolClient, ask: Ask, told: Told): void {
  client.query(`BEGIN; SET LOCAL client_encoding TO 'UTF8'; ${STAY_OPEN}`, (begun) => {
    if (begun) return told(begun);
    ask((error, rows) => void client.query('COMMIT', (ended) => told(error ?? ended ?? null, rows)));
  });
}
