import { createHash } from 'node:crypto';

/** Returns the digest that a look-up of the key uses. */
export function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
