/*
 * SQL in which names always mean PostgreSQL's own objects. A search path may name another schema
 * before pg_catalog. A temporary table is also a type, and PostgreSQL finds this type before all
 * others. PostgreSQL also takes a function or operator from any schema of the path if its argument
 * types fit better.
 */

/** PostgreSQL's own equality operator. Example: `key_digest ${EQUALS} $1`. */
export const EQUALS = 'OPERATOR(pg_catalog.=)';

/** Returns SQL that casts an expression to text. */
export function asText(expression: string): string {
  return `${expression}::pg_catalog.text`;
}

/** Returns SQL that converts an expression to JSON, as text. */
export function asJson(expression: string): string {
  return asText(`pg_catalog.to_json(${expression})`);
}
