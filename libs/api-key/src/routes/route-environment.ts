import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { RouteAccess } from './route-access';

/** The refusal of a key whose environment a route does not accept; null if it is accepted. */
export function wrongEnvironment(
  { environments }: Pick<RouteAccess, 'environments'>,
  apiKey: ApiKey,
): ApiKeyRefusal | null {
  if (environments.length === 0) return null;
  const { environment, masked } = apiKey;
  if (environment !== null && environments.every((names) => names.includes(environment))) return null;
  return new ApiKeyRefusal('WRONG_ENVIRONMENT', { refused: { reason: 'environment', apiKey, masked } });
}
