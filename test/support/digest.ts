import { createHash } from 'node:crypto';

/** Returns the digest by which the library looks a key up. */
export function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
