/**
 * The text of an error for a log. Some errors have a name but no message, for example if both
 * addresses of a host refuse the connection.
 */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
