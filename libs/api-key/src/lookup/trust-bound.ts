import { setTimeout as delay } from 'node:timers/promises';
import type { Row } from '../database/as-text';
import type { Database } from '../database/database';
import { codeOf } from '../database/error-codes';
import { number } from '../database/fields';

/** Factor that allows for clocks with different speeds. */
const CLOCK_TOLERANCE = 1.01;
const MARGIN_MS = 20;
/** PostgreSQL's error code for a missing table. */
const UNDEFINED_TABLE = '42P01';

/**
 * Returns SQL that raises the stored trust bound: the longest time for which any instance may trust
 * its cache. The SQL never lowers the bound.
 */
export function raiseTrust(table: string): string {
  return `INSERT INTO ${table} AS t (trust_ms) VALUES ($1) ON CONFLICT (only_row) DO UPDATE SET trust_ms = EXCLUDED.trust_ms
    WHERE (t.trust_ms >= EXCLUDED.trust_ms) IS NOT TRUE`;
}

/** Returns SQL that checks whether the stored trust bound is at least `trustMs`. */
export function isTrustKnown(table: string, trustMs: string): string {
  return `EXISTS (SELECT FROM ${table} WHERE trust_ms >= ${trustMs}::bigint)`;
}

/**
 * Waits until no instance trusts the entries that it cached before a commit.
 * @param committedAt time of the commit, on the clock of `performance.now`
 * @throws Error `NO_TRUST_BOUND` if the table of the trust bound is missing or empty
 */
export async function outliveTrust(database: Database, committedAt: number): Promise<void> {
  const row = await database
    .read((session) => session.row(`SELECT max(trust_ms)::text AS ms FROM ${session.tables.trust}`), {
      kind: 'ending',
      lanes: [],
    })
    .catch(emptyIfMissing);
  const bound = longestTrust(row) * CLOCK_TOLERANCE + MARGIN_MS;
  await delay(Math.max(0, committedAt + bound - performance.now()));
}

function emptyIfMissing(error: unknown): Row {
  if (codeOf(error) === UNDEFINED_TABLE) return { ms: null };
  throw error;
}

/**
 * Returns the stored trust bound in milliseconds. No default is used, because an instance may trust
 * its cache for longer than the default.
 * @throws Error if the table of the trust bound is missing or empty
 */
function longestTrust(row: Row): number {
  if (row.ms !== null) return number(row, 'ms');
  const words =
    'table api_key_trust is missing or empty, so that nothing says how long instances trust their caches: run the ' +
    'migrations, or INSERT the largest of their cache.leaseMs, serveCachedForMs and staleForMs as trust_ms';
  throw Object.assign(new Error(words), { code: 'NO_TRUST_BOUND' });
}
