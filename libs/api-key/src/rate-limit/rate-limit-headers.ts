import type { Limit } from './limit';
import type { Hit, LimitPolicy } from './storages/sliding-window';
import type { Hits } from './storages/storage';

/**
 * Returns the headers `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10,
 * sections 3 and 4). `q` is the quota of a policy, and `w` is its window in seconds. `r` is the
 * remaining quota, and `t` is the number of seconds until some of the quota is available again.
 */
export function rateLimitHeaders(limits: readonly Limit[], hits: Hits): Record<string, string> {
  let [policies, states] = ['', ''];
  for (let at = 0; at < limits.length; at++) {
    const [limit, hit] = [limits[at] as Limit, hits[at]];
    if (!hit) continue;
    policies += policies ? `, ${limit.policyItem}` : limit.policyItem;
    states += `${states && ', '}${limit.item};r=${hit.remaining};t=${resetSeconds(hit)}`;
  }
  return { 'RateLimit-Policy': policies, RateLimit: states };
}

/**
 * Returns a name as a string of a structured field (RFC 9651 section 3.3.3). Such a string contains
 * only visible ASCII characters and spaces, so other characters become `?`.
 */
export function itemOf(name: string): string {
  return JSON.stringify(name.replace(/[^\x20-\x7e]/g, '?'));
}

/** Returns the item of one limit in the header `RateLimit-Policy`. */
export function policyItem(item: string, { limit, windowMs }: LimitPolicy): string {
  return `${item};q=${limit};w=${Math.ceil(windowMs / 1_000)}`;
}

/**
 * Returns `X-RateLimit-*` headers for older clients, for the limit with the smallest remaining
 * value. `X-RateLimit-Reset` is in seconds from now.
 */
export function legacyHeaders(limits: readonly Limit[], hits: Hits): Record<string, string> {
  let tightest = -1;
  for (const [at, hit] of hits.entries())
    if (hit && hit.remaining < (hits[tightest]?.remaining ?? Number.POSITIVE_INFINITY)) tightest = at;
  const [limit, hit] = [limits[tightest] as Limit, hits[tightest] as Hit];
  return {
    'X-RateLimit-Limit': String(limit.policy.limit),
    'X-RateLimit-Remaining': String(hit.remaining),
    'X-RateLimit-Reset': String(resetSeconds(hit)),
  };
}

/**
 * Returns the seconds for `Retry-After` (RFC 9110 section 10.2.3). The value is at least 1 and
 * rounded up, so that a client that waits this long does not retry too early.
 */
export function retryAfterSeconds({ retryAfterMs, resetMs }: Hit): number {
  return Math.max(1, Math.ceil(Math.max(retryAfterMs, resetMs) / 1_000));
}

function resetSeconds({ passed, resetMs, retryAfterMs }: Hit): number {
  return Math.ceil((passed ? resetMs : Math.max(resetMs, retryAfterMs)) / 1_000);
}
