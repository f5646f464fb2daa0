import { hash } from 'node:crypto';

const DIGITS = 16;

/**
 * Returns the name of a prepared statement, with a hash of the SQL text. Behind a pooler,
 * applications with different SQL texts may share a session.
 * @param name up to 40 characters, because PostgreSQL keeps 63 characters and the hash is added
 */
export function statementName(name: string, text: string): string {
  return `${name}_${hash('sha256', text).slice(0, DIGITS)}`;
}

/** The SQL text of a prepared statement, and its name from `statementName`. */
export interface NamedStatement {
  readonly text: string;
  readonly name: string;
}

/**
 * Returns a function that creates and names a statement once, at its first use. The data source
 * does not know the table earlier.
 */
export function namedOnce(name: string, write: () => string): () => NamedStatement {
  let statement: NamedStatement | undefined;
  return () => {
    if (statement === undefined) {
      const text = write();
      statement = { text, name: statementName(name, text) };
    }
    return statement;
  };
}

/** Quotes a name as SQL identifiers, for names in options. A schema may stand before a dot. */
export function quoteName(path: string): string {
  return path.split('.').map(quoteIdentifier).join('.');
}

/** Quotes a schema and a name as SQL identifiers. Schema and name may contain any characters. */
export function quoteIn(schema: string | null, name: string): string {
  const parts = schema === null ? [name] : [schema, name];
  return parts.map(quoteIdentifier).join('.');
}

/** Quotes a name as SQL identifier, unless it needs no quotes. */
export function quoteIfNeeded(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : quoteIdentifier(name);
}

function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Quotes a text as an SQL literal, for statements that take no parameters. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** Returns the error message for a table that is not in the first schema of the search path. */
export function foreignSchema(schema: string, own: string | null): string {
  return (
    `nestjs-api-key: table api_keys is in schema ${schema}, but the search path begins with ${own ?? 'no existing schema'}: ` +
    'set "schema" in the options of the data source to the intended schema'
  );
}
