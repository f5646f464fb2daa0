import { hash } from 'node:crypto';

const DIGITS = 16;

/**
 * A name of a prepared statement that stands for its text: behind a pooler, one session may serve applications whose texts differ.
 * @param name up to 40 characters, of the 63 that PostgreSQL keeps
 */
export function statementName(name: string, text: string): string {
  return `${name}_${hash('sha256', text).slice(0, DIGITS)}`;
}

/** A name, with its schema where it has one, as quoted SQL identifiers. */
export function quoteName(path: string): string {
  return path
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');
}

/** What to say of a table that the search path finds in another schema than the first. */
export function foreignSchema(schema: string, own: string | null): string {
  return (
    `nestjs-api-key: table api_keys lies in schema ${schema}, and the search path begins with ${own ?? 'none that exists'}: ` +
    'set "schema" in the options of the data source to the one that is meant'
  );
}
