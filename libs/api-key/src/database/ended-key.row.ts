import { ApiKey } from '../model/api-key.entity';
import { type Column, type DeriveFields, FIELDS, type Field } from './api-key.row';
import type { Row } from './as-text';
import { text, textOrNull, UnreadableValue } from './fields';
import { asJson, asText } from './own-names';

/** SQL of a time of any column type, in the form of JSON. */
const asTime = (column: string) => `(pg_catalog.to_jsonb(${column}) OPERATOR(pg_catalog.#>>) '{}')`;
const TIME = { asText: asTime, read: timeOrInvalid };

/** Readers of the columns that would break a statement if somebody changed their type. */
const OF_ANY_TYPE: Partial<Record<Field, Partial<Column<unknown>>>> = {
  lastUsedAt: { asText: asTime, read: timeOrNull },
  expiresAt: { asText: asTime, read: timeOrNull },
  revokedAt: { asText: asTime, read: timeOrLast },
  disabledAt: { asText: asTime, read: timeOrLast },
  enabledExpiresAt: { asText: asTime, read: timeOrNull },
  createdAt: TIME,
  updatedAt: TIME,
  allowedIps: { asText: asJson },
  ancestorIds: { asText, read: (row, name) => textOrNull(row, name)?.match(/\d+/g) ?? [] },
};
/** The last time of a Date, in milliseconds since 1970. */
const LAST_MS = 8.64e15;
/**
 * Fields that must be readable: the id of the ended key, its owner, and the time of its revocation.
 */
const NEEDED: readonly Field[] = ['id', 'userId', 'revokedAt'];

const COLUMNS = FIELDS.map(([field, column]) => ({ field, ...column, ...OF_ANY_TYPE[field] }));

/**
 * Returns SQL that selects the columns of ended keys. If the table lacks a column, the column is
 * NULL, because its name then refers to the outer query.
 * @param from the text after FROM
 * @param isBare whether all columns are NULL that are not needed
 */
export function selectEnded(from: string, isBare: boolean): string {
  const absent = COLUMNS.filter(({ field }) => !NEEDED.includes(field)).map(
    ({ name }) => `NULL::pg_catalog.text AS ${name}`,
  );
  const present = COLUMNS.map(({ field, name, asText }) => {
    const value = isBare && !NEEDED.includes(field) ? 'NULL::pg_catalog.text' : asText(name);
    return `${value} AS ${name}`;
  });
  return `SELECT ended.* FROM (SELECT ${absent.join(', ')}) AS absent CROSS JOIN LATERAL (
    SELECT ${present.join(', ')} FROM ${from}) AS ended`;
}

/**
 * Returns the entity for a row of `selectEnded`. A value that cannot be read becomes empty, because
 * the key has ended.
 * @throws UnreadableValue if the id or the owner of the key cannot be read
 */
export function endedKeyFromRow(row: Row, derive: DeriveFields): ApiKey {
  const fields: Partial<Record<Field, unknown>> = new ApiKey();
  for (const { field, name, read } of COLUMNS)
    fields[field] = NEEDED.includes(field) ? read(row, name) : valueOrEmpty(row, name, read);
  derive(fields as ApiKey);
  return fields as ApiKey;
}

function valueOrEmpty(row: Row, name: string, read: Column<unknown>['read']): unknown {
  try {
    return read(row, name);
  } catch (error) {
    if (error instanceof UnreadableValue) return read === text ? '' : null;
    throw error;
  }
}

function timeOrNull(row: Row, name: string): Date | null {
  const time = timeOrInvalid(row, name);
  return Number.isNaN(time.getTime()) ? null : time;
}

/**
 * Reads a time. A value that is not a time, such as `infinity`, becomes the last time of a Date,
 * because null would mean that the key is not revoked.
 */
function timeOrLast(row: Row, name: string): Date | null {
  return textOrNull(row, name) === null ? null : (timeOrNull(row, name) ?? new Date(LAST_MS));
}

/** Reads a time. A time without a time zone is in UTC. */
function timeOrInvalid(row: Row, name: string): Date {
  const time = textOrNull(row, name) ?? '';
  return new Date(/T[\d:.]+$/.test(time) ? `${time}Z` : time);
}
