import type { CustomTypesConfig } from 'pg';

/** A row of a statement of ours: each column is text, or null if SQL says so. */
export type Row = Readonly<Record<string, string | null>>;

/**
 * Ids of the types text, varchar, name, unknown and void: no setting changes how PostgreSQL sends
 * them.
 */
const TEXT_TYPES = new Set([25, 1043, 19, 705, 2278]);

/**
 * Parsers for `pg` that take values as PostgreSQL sends them, whatever parsers the application has
 * set. Only text is taken, because of all else some setting or parser decides the form: cast it in
 * SQL. `pg-native` knows no parsers of a query, and so text is what it gives unchanged as well.
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
