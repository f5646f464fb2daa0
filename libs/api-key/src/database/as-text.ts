import type { CustomTypesConfig } from 'pg';

/** A row that a statement of this library returned. Each column is text or null. */
export type Row = Readonly<Record<string, string | null>>;

/**
 * OIDs of the types text, varchar, name, unknown and void. PostgreSQL sends these types in the same
 * form, whatever the settings are.
 */
const TEXT_TYPES = new Set([25, 1043, 19, 705, 2278]);

/**
 * Parsers for `pg` that return values as PostgreSQL sends them, whatever parsers the application
 * has set. Only text types are allowed, because settings or parsers decide the form of every other
 * type. Cast other types to text in the SQL. `pg-native` ignores these parsers, but also returns
 * text unchanged.
 */
export const AS_TEXT: CustomTypesConfig = {
  getTypeParser: ((type: number) =>
    TEXT_TYPES.has(type) ? String : refuse(type)) as CustomTypesConfig['getTypeParser'],
};

function refuse(type: number): () => never {
  return () => {
    throw new Error(`a column has the type with the oid ${type}: cast it to text in the statement`);
  };
}
