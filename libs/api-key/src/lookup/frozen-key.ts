import type { ApiKey } from '../model/api-key.entity';

/**
 * Sets the environment of a key that was looked up, and freezes the key. All requests of a key
 * share this entity, so no request may change it. A look-up may return one that is frozen already,
 * because several callers share its statement.
 * @param environment the environment of the presented key, of which each digest has only one
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
