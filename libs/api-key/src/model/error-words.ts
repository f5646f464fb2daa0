/** What an error says, for a log: some have a name and no message, as where both addresses of a host refuse. */
export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
