/** The new names of options that were at the top level in the past. */
const MOVED: Readonly<Record<string, string>> = {
  trustProxy: 'https.trustProxy',
  allowInsecureHttpFrom: 'https.allowInsecureHttpFrom',
  allowInsecureHttp: 'https.allowInsecureHttp',
  onPlaintextKey: 'https.onPlaintextKey',
  loopbackException: 'https.loopbackException',
  cacheSize: 'cache.size',
  leaseMs: 'cache.leaseMs',
  heartbeatMs: 'cache.heartbeatMs',
  serveCachedForMs: 'cache.serveCachedForMs',
  staleForMs: 'cache.staleForMs',
  userCacheMs: 'cache.userCacheMs',
  lookUpTimeoutMs: 'cache.lookUpTimeoutMs',
  maxLookUps: 'cache.maxLookUps',
  lastUsed: 'usage.lastUsed',
  lastUsedIntervalMs: 'usage.lastUsedIntervalMs',
  usageIntervalMs: 'usage.intervalMs',
};

/** The new name of an option, if the given name is an old one. */
export function newNameOf(name: string, value: unknown): string | undefined {
  if (name === 'usage' && typeof value === 'boolean') return 'usage.requests';
  return Object.hasOwn(MOVED, name) ? MOVED[name] : undefined;
}
