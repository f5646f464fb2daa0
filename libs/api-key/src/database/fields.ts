import type { Row } from './as-text';
import { asText } from './own-names';

/** Latest time of a Date, in milliseconds since 1970. The earliest time is the negative value. */
const BOUND_MS = 8.64e15;
const WHOLE = /^-?\d{1,16}$/;
const NUMBER = /^-?\d+(?:\.\d+)?$/;

/**
 * Error if PostgreSQL sent a value that cannot be parsed. Such a value never becomes null, because
 * null means "never" or "not revoked".
 */
export class UnreadableValue extends Error {
  readonly code = 'UNREADABLE_VALUE';

  constructor(column: string, wanted: string) {
    super(`column ${column} of PostgreSQL's answer is not ${wanted}`);
  }
}

/**
 * Reads a text.
 * @throws UnreadableValue if the column is null
 */
export function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value === 'string') return value;
  throw new UnreadableValue(column, 'text');
}

/**
 * Reads a text or null.
 * @throws UnreadableValue if the column is neither text nor null
 */
export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

/**
 * Reads a boolean that was cast to text.
 * @throws UnreadableValue for any other value
 */
export function flag(row: Row, column: string): boolean {
  const value = row[column];
  if (value === 'true' || value === 'false') return value === 'true';
  throw new UnreadableValue(column, 'true or false');
}

/**
 * Reads a number that was cast to text.
 * @throws UnreadableValue for any other value
 */
export function number(row: Row, column: string): number {
  const value = row[column];
  if (typeof value === 'string' && NUMBER.test(value)) return Number(value);
  throw new UnreadableValue(column, 'a number');
}

/**
 * Reads a number that was cast to text, or null.
 * @throws UnreadableValue for any other value
 */
export function numberOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : number(row, column);
}

/**
 * Reads JSON that was cast to text.
 * @throws UnreadableValue for any other value
 */
export function json(row: Row, column: string): unknown {
  const value = text(row, column);
  try {
    return JSON.parse(value);
  } catch {
    throw new UnreadableValue(column, 'JSON');
  }
}

/**
 * Reads JSON that was cast to text, or null.
 * @throws UnreadableValue for any other value
 */
export function jsonOrNull(row: Row, column: string): unknown {
  return row[column] === null ? null : json(row, column);
}

/**
 * Reads a JSON list of numbers that was cast to text.
 * @throws UnreadableValue for any other value
 */
export function numbers(row: Row, column: string): readonly number[] {
  const list = json(row, column);
  if (Array.isArray(list) && list.every((value) => typeof value === 'number')) return list;
  throw new UnreadableValue(column, 'a list of numbers');
}

/**
 * Reads a time that the SQL of `moment` returned.
 * @throws UnreadableValue for any other value
 */
export function date(row: Row, column: string): Date {
  const value = row[column];
  if (value === 'infinity') return new Date(BOUND_MS);
  if (value === '-infinity') return new Date(-BOUND_MS);
  if (typeof value !== 'string' || !WHOLE.test(value)) throw new UnreadableValue(column, 'a time');
  return new Date(Math.max(-BOUND_MS, Math.min(BOUND_MS, Number(value))));
}

/**
 * Reads a time that the SQL of `moment` returned, or null.
 * @throws UnreadableValue for any other value
 */
export function dateOrNull(row: Row, column: string): Date | null {
  return row[column] === null ? null : date(row, column);
}

/**
 * Returns SQL that casts a time to text. No setting changes the form of this text: whole
 * milliseconds since 1970, `infinity` or `-infinity`.
 */
export function moment(expression: string): string {
  const seconds = `pg_catalog.date_part('epoch', pg_catalog.date_trunc('milliseconds', ${expression}))`;
  return `CASE WHEN pg_catalog.isfinite(${expression})
    THEN ${asText(`pg_catalog.round(${seconds} OPERATOR(pg_catalog.*) 1000)::bigint`)}
    WHEN ${expression} OPERATOR(pg_catalog.>) 'epoch' THEN 'infinity'
    WHEN ${expression} OPERATOR(pg_catalog.<) 'epoch' THEN '-infinity' END`;
}
