import type { ApiKey } from '../api-key.entity';

/** Who a request comes from, as `ApiKeyGuard` found it. */
export interface Authentication {
  readonly apiKey: ApiKey;
  readonly user: unknown;
}

/** A symbol of our own: no header, body or middleware that fills `request.user` can pretend to be the guard. */
const AUTHENTICATION = Symbol('nestjs-api-key authentication');

type Authenticated = object & { [AUTHENTICATION]?: Authentication };

/** What the guard found, or undefined where it did not run or refused. */
export function authenticationOf(request: object): Authentication | undefined {
  return (request as Authenticated)[AUTHENTICATION];
}

/** Hangs key and user on a request, also as `request.apiKey` and `request.user`, whatever stood there before. */
export function attachAuthentication(request: object, authentication: Authentication): void {
  const { apiKey, user } = authentication;
  hang(request, AUTHENTICATION, authentication);
  hang(request, 'apiKey', apiKey);
  hang(request, 'user', user);
}

/** Defined rather than assigned, for Fastify lets an application decorate requests with a getter. */
function hang(request: object, name: string | symbol, value: unknown): void {
  Object.defineProperty(request, name, { value, writable: true, configurable: true, enumerable: true });
}
