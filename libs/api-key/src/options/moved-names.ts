/** Where options that once stood at the top level are now. */
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

/** The new name of an option, if the old one was given. */
export function newNameOf(name: string, value: unknown): string | undefined {
  if (name === 'usage' && typeof value === 'boolean') return 'usage.requests';
  return Object.hasOwn(MOVED, name) ? MOVED[name] : undefined;
}
