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

/** Hangs key and user on a request, also as `request.apiKey` and `request.user`. */
export function attachAuthentication(request: object, authentication: Authentication): void {
  Object.assign(request, { ...authentication, [AUTHENTICATION]: authentication });
}
