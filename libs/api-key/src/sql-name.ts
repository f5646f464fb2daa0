/** A name, with its schema where it has one, as quoted SQL identifiers. */
export function quoteName(path: string): string {
  return path
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.');
}
