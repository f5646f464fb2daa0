/*
 * SQL whose names mean those of PostgreSQL. A search path may name another schema before pg_catalog, a
 * temporary table is a type that comes before all others, and a function or operator that fits better
 * is taken from any schema of the path.
 */

/** Equality of PostgreSQL: `key_digest ${EQUALS} $1`. */
export const EQUALS = 'OPERATOR(pg_catalog.=)';

/** An expression as text. */
export function asText(expression: string): string {
  return `${expression}::pg_catalog.text`;
}

/** An expression as JSON, as text. */
export function asJson(expression: string): string {
  return asText(`pg_catalog.to_json(${expression})`);
}
