import { createHash } from 'node:crypto';

/** What the database is asked for where a key is looked up. */
export function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex');
}
