import type { ApiKey } from '../api-key.entity';

/** Who a request comes from, as `ApiKeyGuard` found it. */
export interface Authentication {
  readonly apiKey: ApiKey;
  readonly user: unknown;
}

/** Beside the requests: no header, body or middleware that fills `request.user` can pretend to be the guard. */
const authentications = new WeakMap<object, Authentication>();

interface Authenticated {
  apiKey?: ApiKey;
  user?: unknown;
}

/** What the guard found, or undefined where it did not run or refused. */
export function authenticationOf(request: object): Authentication | undefined {
  return authentications.get(request);
}

/** Hangs key and user on a request, also as `request.apiKey` and `request.user`, whatever stood there before. */
export function attachAuthentication(request: object, authentication: Authentication): void {
  const { apiKey, user } = authentication;
  const authenticated = request as Authenticated;
  authentications.set(request, authentication);
  try {
    authenticated.apiKey = apiKey;
    authenticated.user = user;
  } catch {}
  if (authenticated.apiKey !== apiKey) define(request, 'apiKey', apiKey);
  if (authenticated.user !== user) define(request, 'user', user);
}

/**
 * For Fastify lets an application decorate requests with a getter. Only then: a request that was redefined is slow for all
 * who use it after us.
 */
function define(request: object, name: string, value: unknown): void {
  Object.defineProperty(request, name, { value, writable: true, configurable: true, enumerable: true });
}
