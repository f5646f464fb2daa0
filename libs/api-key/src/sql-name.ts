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
