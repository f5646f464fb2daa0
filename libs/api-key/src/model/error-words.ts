import { printable } from './printable';

/**
 * The text of an error for a log, without control characters, because a message may quote a value
 * of a caller. Some errors have a name but no message, for example if both addresses of a host
 * refuse the connection.
 */
export function wordsOf(error: unknown): string {
  return printable(error instanceof Error ? error.message || error.name : String(error));
}
