import type { ApiKey } from '../model/api-key.entity';

/**
 * Sets the environment of a key that was looked up, and freezes the key. All requests with this key
 * share the entity, so no request may change it. The key may already be frozen, because several
 * callers share a look-up.
 * @param environment the environment of the presented key; each digest belongs to one environment
 */
export function freeze(apiKey: ApiKey, environment: string | null): void {
  if (Object.isFrozen(apiKey)) return;
  apiKey.environment = environment;
  freezeDeep(apiKey.metadata);
  freezeDeep(apiKey.sharedLimits);
  if (apiKey.allowedIps) Object.freeze(apiKey.allowedIps);
  Object.freeze(apiKey.scopes);
  Object.freeze(apiKey.ancestorIds);
  Object.freeze(apiKey);
}

function freezeDeep(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  Object.values(value).forEach(freezeDeep);
  Object.freeze(value);
}
