import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { RouteAccess } from './route-access';

type Narrowed = Pick<RouteAccess, 'environments'>;

/** The environments whose keys a route accepts; null: keys of all, and keys of none. */
export function environmentsAccepted({
  environments: [first, ...others],
}: Narrowed): readonly string[] | null {
  if (first === undefined) return null;
  return [...new Set(first)].filter((name) => others.every((names) => names.includes(name)));
}

/** Whether a route accepts the environment of a key. */
export function acceptsEnvironment({ environments }: Narrowed, { environment }: ApiKey): boolean {
  if (environments.length === 0) return true;
  return environment !== null && environments.every((names) => names.includes(environment));
}

/** The refusal of a key whose environment a route does not accept; null if it is accepted. */
export function wrongEnvironment(access: Narrowed, apiKey: ApiKey): ApiKeyRefusal | null {
  if (acceptsEnvironment(access, apiKey)) return null;
  const refused = { reason: 'environment', apiKey, masked: apiKey.masked } as const;
  return new ApiKeyRefusal('WRONG_ENVIRONMENT', { refused });
}
