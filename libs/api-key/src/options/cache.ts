import { type Check, type Checks, milliseconds, section, wholeNumber, withDefaults } from './checks';

/** How keys and users are cached and looked up. Each field that is omitted keeps its default. */
export interface CacheOptions {
  /**
   * How many keys are cached, 0 to 10,000,000. The same number of digests without a key is also
   * cached. 0: each request makes a look-up in the database. Default 10,000.
   */
  size?: number;
  /**
   * How many milliseconds an instance trusts its cache if it no longer receives revocations, 500 to
   * 60,000. `revoke` with `everywhere` waits at least this long. Default 2,000.
   */
  leaseMs?: number;
  /**
   * Milliseconds between two heartbeats of the revocation feed, 50 to 30,000, at most half of
   * `leaseMs`. Default 500.
   */
  heartbeatMs?: number;
  /**
   * How many milliseconds cached keys are accepted while the database is unavailable, 0 to
   * 86,400,000. This value extends the lease. Default 0.
   */
  serveCachedForMs?: number;
  /**
   * How many milliseconds a cached key is trusted if the revocation feed cannot listen, for example
   * behind a pooler in transaction mode, 0 to 60,000. A revoked key may be accepted for this time.
   * Default 0: nothing is cached then.
   */
  staleForMs?: number;
  /**
   * How many milliseconds the result of `loadUser` is cached, 0 to 60,000. 0: each request calls
   * `loadUser`. All requests of an owner share the object, so do not change it. Default: `leaseMs`.
   */
  userCacheMs?: number;
  /**
   * Deadline in milliseconds for the look-up of a key, and for `loadUser`, 10 to 60,000. After the
   * deadline the answer is 503. Default 200.
   */
  lookUpTimeoutMs?: number;
  /**
   * How many look-ups of keys may run at the same time, 1 to 100,000. The same number of calls of
   * `loadUser` may run. If there are more, the answer is 503 at once. Default 500.
   */
  maxLookUps?: number;
}

/** The section after defaults and checks, frozen. */
export type ResolvedCacheOptions = Readonly<Required<CacheOptions>>;

const DEFAULTS: ResolvedCacheOptions = {
  size: 10_000,
  leaseMs: 2_000,
  heartbeatMs: 500,
  serveCachedForMs: 0,
  staleForMs: 0,
  userCacheMs: 2_000,
  lookUpTimeoutMs: 200,
  maxLookUps: 500,
};

const CHECKS: Checks<CacheOptions> = {
  size: wholeNumber(0, 10_000_000),
  leaseMs: milliseconds(500, 60_000),
  heartbeatMs: milliseconds(50, 30_000),
  serveCachedForMs: milliseconds(0, 86_400_000),
  staleForMs: milliseconds(0, 60_000),
  userCacheMs: milliseconds(0, 60_000),
  lookUpTimeoutMs: milliseconds(10, 60_000),
  maxLookUps: wholeNumber(1, 100_000),
};

const checkFields = section(CHECKS);

export const checkCache: Check = (value, name) => [
  ...checkFields(value, name),
  ...(isHeartbeatTooSlow(Object(value))
    ? [`option "${name}.heartbeatMs" must be at most half of "${name}.leaseMs"`]
    : []),
];

export function resolveCache(given?: CacheOptions): ResolvedCacheOptions {
  const userCacheMs = given?.leaseMs ?? DEFAULTS.leaseMs;
  return withDefaults({ ...DEFAULTS, userCacheMs }, given);
}

/** If only one heartbeat fits in a lease, each late heartbeat would end the lease. */
function isHeartbeatTooSlow({
  leaseMs = DEFAULTS.leaseMs,
  heartbeatMs = DEFAULTS.heartbeatMs,
}: CacheOptions): boolean {
  const areValid = [CHECKS.leaseMs(leaseMs, ''), CHECKS.heartbeatMs(heartbeatMs, '')].flat().length === 0;
  return areValid && heartbeatMs * 2 > leaseMs;
}
