import type { ApiKey } from '../api-key.entity';

/** Who a request comes from, as `ApiKeyGuard` found it. */
export interface Authentication {
  readonly apiKey: ApiKey;
  readonly user: unknown;
  /** Whether its limits have counted the request: it counts once, however many guards it passes. */
  isCounted?: boolean;
}

/** Not reached from outside: no header, body or middleware that fills `request.user` can pretend to be the guard. */
const AUTHENTICATION = Symbol('nestjs-api-key authentication');

interface Authenticated {
  /** Tells of which request it is: one that inherits or copies from another is not authenticated by that. */
  [AUTHENTICATION]?: Authentication & { readonly request: object };
  apiKey?: ApiKey;
  user?: unknown;
}

/** What the guard found, or undefined where it did not run or refused. */
export function authenticationOf(request: object): Authentication | undefined {
  const found = (request as Authenticated)[AUTHENTICATION];
  return found?.request === request ? found : undefined;
}

/** Hangs key and user on a request, also as `request.apiKey` and `request.user`, whatever stood there before. */
export function attachAuthentication(request: object, { apiKey, user }: Authentication): void {
  const authenticated = request as Authenticated;
  authenticated[AUTHENTICATION] = { apiKey, user, isCounted: false, request };
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
