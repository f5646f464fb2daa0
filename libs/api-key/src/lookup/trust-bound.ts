import { setTimeout as delay } from 'node:timers/promises';
import type { Row } from '../database/as-text';
import type { Database } from '../database/database';
import { codeOf } from '../database/error-codes';
import { number } from '../database/fields';

/** Tolerance for clocks with different speeds, and for the time between a check and its answer. */
const CLOCK_TOLERANCE = 1.01;
const MARGIN_MS = 20;
const DEFAULT_TRUST_MS = 2_000;

/** SQL that raises the time that an instance may trust its cache. The time is never lowered. */
export function raiseTrust(table: string): string {
  return `INSERT INTO ${table} AS t (trust_ms) VALUES ($1) ON CONFLICT (only_row) DO UPDATE SET trust_ms = EXCLUDED.trust_ms
    WHERE t.trust_ms < EXCLUDED.trust_ms`;
}

/**
 * Waits until no instance trusts what it cached before the commit.
 * @param committedAt time of the commit, on the clock of `performance.now`
 */
export async function outliveTrust(database: Database, committedAt: number): Promise<void> {
  const rows = await database
    .read((session) => session.rows(`SELECT trust_ms::text AS ms FROM ${session.tables.trust}`))
    .catch(defaultIfNotMigrated);
  const bound = longestTrust(rows) * CLOCK_TOLERANCE + MARGIN_MS;
  await delay(Math.max(0, committedAt + bound - performance.now()));
}

/** Without the table no instance remembers anything. */
function defaultIfNotMigrated(error: unknown): readonly Row[] {
  if (codeOf(error) === '42P01') return [{ ms: String(DEFAULT_TRUST_MS) }];
  throw error;
}

/** @throws Error if the table is empty: some instance may trust for longer than the default */
function longestTrust([row]: readonly Row[]): number {
  if (row) return number(row, 'ms');
  const words =
    'the row of table api_key_trust was deleted, so that nothing says how long instances trust their caches: INSERT the ' +
    'largest of their cache.leaseMs, serveCachedForMs and staleForMs as trust_ms, or restart all instances';
  throw Object.assign(new Error(words), { code: 'NO_TRUST_BOUND' });
}
