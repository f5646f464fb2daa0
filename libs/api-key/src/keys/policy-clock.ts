import { date, moment } from '../database/fields';
import type { KeyChange } from './key-change';

/**
 * Returns the time that a change stores as the creation of a key, by the database's clock. Without
 * lifetimes in the policy nothing depends on it, and the database is not asked.
 */
export async function creationTime({ session, rules }: Pick<KeyChange, 'session' | 'rules'>): Promise<Date> {
  const { maxLifetimeDays, defaultLifetimeDays } = rules.policy;
  if (maxLifetimeDays === null && defaultLifetimeDays === null) return new Date();
  return date(await session.row(`SELECT ${moment('now()')} AS now`), 'now');
}
