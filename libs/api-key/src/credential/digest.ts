import { hash } from 'node:crypto';

/**
 * SHA-256 of a whole raw key in hex, as the column `key_digest` holds it. A slow password hash would add
 * nothing to 256 random bits and would cost the event loop.
 */
export function digestKey(key: string): string {
  return hash('sha256', key);
}
