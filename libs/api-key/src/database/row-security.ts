import type { ClientBase } from 'pg';
import { AS_TEXT, type Row } from './as-text';
import { INSUFFICIENT_PRIVILEGE, rowSecurityWords } from './error-codes';
import { flag, text } from './fields';
import { quoteLiteral } from './names';
import { asText } from './own-names';
import { IS_STANDBY, replicaOf } from './replica';
import type { Session } from './session';

/**
 * Statement that makes PostgreSQL fail a later statement if a policy would filter its rows.
 * Otherwise a hidden key would look like a missing key, although other sessions accept the key.
 */
export const NO_ROW_SECURITY = 'SET row_security = off';

/** Returns SQL that checks whether policies filter a table for the role of the session. */
export function isFiltered(table: string): string {
  return `(pg_catalog.row_security_active(pg_catalog.to_regclass(${quoteLiteral(table)})::pg_catalog.oid) IS TRUE)`;
}

/** Returns an SQL column that is true if policies filter a table. */
export function filteredColumn(table: string): string {
  return `${asText(isFiltered(table))} AS filtered`;
}

/**
 * Checks that no policy hides keys from this session. Other sessions may see these keys.
 * @param rows rows of a statement with `filteredColumn`
 * @returns the error if rows may be missing, or null if no row is hidden
 */
export function filteredOf([row]: readonly Row[], table: string): Error | null {
  return row?.filtered === 'false' ? null : filtered(`on ${table}`);
}

/** Checks after an empty result whether a replica or a policy may hide rows. */
export function askWhoAnswers(
  client: ClientBase,
  table: string,
  answered: (wrong: Error | null) => void,
): void {
  const query = { text: `SELECT ${IS_STANDBY}, ${filteredColumn(table)}`, types: AS_TEXT };
  client.query<Row>(query, (error, result) =>
    answered(error ?? replicaOf(result.rows) ?? filteredOf(result.rows, table)),
  );
}

/**
 * Checks that no policy filters the tables.
 * @throws Error with instructions if policies filter one of the tables
 */
export async function refuseFiltered(session: Session, tables: readonly string[]): Promise<void> {
  const row = await session.row(
    `SELECT ${asText('current_user')} AS role, ${tables.map((table, i) => `${asText(isFiltered(table))} AS t${i}`).join(', ')}`,
  );
  const found = tables.filter((_, i) => flag(row, `t${i}`));
  if (found.length > 0) throw filtered(`on ${found.join(', ')} for role "${text(row, 'role')}"`);
}

/**
 * Returns the error for filtered tables.
 * @param where the filtered tables, in words
 */
export function filtered(where: string): Error {
  return Object.assign(new Error(rowSecurityWords(where)), {
    code: INSUFFICIENT_PRIVILEGE,
  });
}
