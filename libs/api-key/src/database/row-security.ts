import type { ClientBase } from 'pg';
import { AS_TEXT, type Row } from './as-text';
import { INSUFFICIENT_PRIVILEGE, rowSecurityWords } from './error-codes';
import { flag, text } from './fields';
import { quoteLiteral } from './names';
import { asText } from './own-names';
import { IS_STANDBY, replicaOf } from './replica';
import type { Session } from './session';

/**
 * Has PostgreSQL fail a statement whose rows a policy would filter: a key that is hidden from this
 * session would pass for one that does not exist, and other sessions accept it.
 */
export const NO_ROW_SECURITY = 'SET row_security = off';

/** SQL that says whether policies filter a table for the role of the session. */
export function isFiltered(table: string): string {
  return `(pg_catalog.row_security_active(pg_catalog.to_regclass(${quoteLiteral(table)})::pg_catalog.oid) IS TRUE)`;
}

/** A column that says whether policies filter a table. */
export function filteredColumn(table: string): string {
  return `${asText(isFiltered(table))} AS filtered`;
}

/**
 * Policies may hide a key from this session that others see.
 * @param rows of a statement with `filteredColumn`
 * @returns why the rows do not count; null if all are there
 */
export function filteredOf([row]: readonly Row[], table: string): Error | null {
  return row?.filtered === 'false' ? null : filtered(`on ${table}`);
}

/** Asks what an answer without rows does not say: a replica, or policies, may hide them. */
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

/** @throws Error that says what to do if policies filter one of the tables */
export async function refuseFiltered(session: Session, tables: readonly string[]): Promise<void> {
  const row = await session.row(
    `SELECT ${asText('current_user')} AS role, ${tables.map((table, i) => `${asText(isFiltered(table))} AS t${i}`).join(', ')}`,
  );
  const found = tables.filter((_, i) => flag(row, `t${i}`));
  if (found.length > 0) throw filtered(`on ${found.join(', ')} for role "${text(row, 'role')}"`);
}

/** @param where policies filter, in words */
export function filtered(where: string): Error {
  return Object.assign(new Error(rowSecurityWords(where)), {
    code: INSUFFICIENT_PRIVILEGE,
  });
}
