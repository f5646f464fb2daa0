import { hash } from 'node:crypto';

const DIGITS = 16;

/**
 * A name of a prepared statement that stands for its text: behind a pooler, one session may serve applications whose texts differ.
 * @param name up to 40 characters, of the 63 that PostgreSQL keeps
 */
export function statementName(name: string, text: string): string {
  return `${name}_${hash('sha256', text).slice(0, DIGITS)}`;
}

/** What a prepared statement says, and its `statementName`. */
export interface NamedStatement {
  readonly text: string;
  readonly name: string;
}

/** A statement that is written and named once, when it is first asked for: before that the data source knows no table. */
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

/** A name that people wrote, its schema before a dot if it has one, as quoted SQL identifiers. */
export function quoteName(path: string): string {
  return path.split('.').map(quoteIdentifier).join('.');
}

/** A name in a schema, as quoted SQL identifiers, whatever characters they have. */
export function quoteIn(schema: string | null, name: string): string {
  const parts = schema === null ? [name] : [schema, name];
  return parts.map(quoteIdentifier).join('.');
}

function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as an SQL literal, for statements that take no parameters. */
export function quoteLiteral(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** What to say of a table that the search path finds in another schema than the first. */
export function foreignSchema(schema: string, own: string | null): string {
  return (
    `nestjs-api-key: table api_keys lies in schema ${schema}, and the search path begins with ${own ?? 'none that exists'}: ` +
    'set "schema" in the options of the data source to the one that is meant'
  );
}
