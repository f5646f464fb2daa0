import { printable } from './printable';

/**
 * The text of an error for a log, without control characters, because a message may quote a value
 * of a caller. If both addresses of a host refuse the connection, Node throws an error without a
 * message. Its text is that of the first address.
 */
export function wordsOf(error: unknown): string {
  if (error instanceof AggregateError && !error.message && error.errors.length > 0)
    return wordsOf(error.errors[0]);
  return printable(error instanceof Error ? error.message || error.name : String(error));
}
