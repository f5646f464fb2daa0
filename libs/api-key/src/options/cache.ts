import { type Check, type Checks, milliseconds, section, wholeNumber, withDefaults } from './checks';

/** How keys and users are cached and looked up. Each field that is omitted keeps its default. */
export interface CacheOptions {
  /**
   * How many keys are cached, and as many digests that belong to no key, 0 to 10,000,000.
   * 0: each request asks the database. Default 10,000.
   */
  size?: number;
  /**
   * Milliseconds that an instance which no longer hears of revocations still trusts its cache,
   * 500 to 60,000. `revoke` with `everywhere` waits as long. Default 2,000.
   */
  leaseMs?: number;
  /**
   * Milliseconds between two heartbeats of the revocation feed, 50 to 30,000, at most half of
   * `leaseMs`. Default 500.
   */
  heartbeatMs?: number;
  /**
   * Milliseconds that cached keys are served while the database is away, 0 to 86,400,000.
   * It widens the lease. Default 0.
   */
  serveCachedForMs?: number;
  /**
   * Milliseconds that a cached key is trusted if no revocation feed can listen, as behind a pooler in
   * transaction mode, 0 to 60,000. A revoked key may be accepted for as long. Default 0: not at all.
   */
  staleForMs?: number;
  /**
   * Milliseconds that the result of `loadUser` is cached, 0 to 60,000. 0: it is called each time.
   * All requests of an owner share the object: do not change it. Default: `leaseMs`.
   */
  userCacheMs?: number;
  /**
   * Milliseconds after which a request whose key is looked up, or whose user is loaded, is answered
   * with 503, 10 to 60,000. Default 200.
   */
  lookUpTimeoutMs?: number;
  /**
   * How many look-ups of keys may run at once, and as many calls of `loadUser`, 1 to 100,000.
   * More are answered with 503 at once. Default 500.
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

/** A lease in which only one heartbeat fits would end with each heartbeat that is late. */
function isHeartbeatTooSlow({
  leaseMs = DEFAULTS.leaseMs,
  heartbeatMs = DEFAULTS.heartbeatMs,
}: CacheOptions): boolean {
  const areValid = [CHECKS.leaseMs(leaseMs, ''), CHECKS.heartbeatMs(heartbeatMs, '')].flat().length === 0;
  return areValid && heartbeatMs * 2 > leaseMs;
}
