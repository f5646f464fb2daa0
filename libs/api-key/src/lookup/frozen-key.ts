import type { ApiKey } from '../model/api-key.entity';

/** All requests of a key share this entity, so no request may change it. */
export function frozen(apiKey: ApiKey): ApiKey {
  freezeDeep(apiKey.metadata);
  freezeDeep(apiKey.sharedLimits);
  if (apiKey.allowedIps) Object.freeze(apiKey.allowedIps);
  Object.freeze(apiKey.scopes);
  Object.freeze(apiKey.ancestorIds);
  Object.freeze(apiKey);
  return apiKey;
}

function freezeDeep(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  Object.values(value).forEach(freezeDeep);
  Object.freeze(value);
}
