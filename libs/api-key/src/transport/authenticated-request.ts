import { types } from 'node:util';
import type { ApiKey } from '../model/api-key.entity';
import { nodeRequest, rawHeadersOf } from './http-exchange';

/** Limits that have counted a request, by their buckets. */
export interface CountedLimits {
  readonly rates: readonly { readonly key: string }[];
  readonly quotas: readonly { readonly key: string }[];
  readonly cost: number;
}

const NONE: readonly CountedLimits[] = [];

/** The key and the user of one request, as `ApiKeyGuard` found them. */
export class Authentication {
  /** The limits that have counted the request and let it pass. */
  counted: readonly CountedLimits[] = NONE;
  /** Promise of the count in progress, which never rejects; null if no count has begun. */
  counting: Promise<unknown> | null = null;
  /**
   * The authenticated request. Another request that inherits from this request, or copies it, is
   * not authenticated.
   */
  request: object | null = null;

  constructor(
    readonly apiKey: ApiKey,
    readonly user: unknown,
    /** The module options of the application that authenticated the request. */
    readonly by: object | null = null,
  ) {}
}

/**
 * Key under which an authentication is stored. The symbol is private, so a header, a body, or
 * middleware that sets `request.user` cannot imitate the guard.
 */
const AUTHENTICATION = Symbol('nestjs-api-key authentication');

/** Marks a prototype whose getters return `apiKey` and `user` of each request. */
const EXPOSES = Symbol('nestjs-api-key exposes');

/** Authentications of requests whose list of raw headers cannot store them. */
const apart = new WeakMap<object, Authentication>();

/**
 * Returns the authentication of a request by one application. Another application in this process
 * may have authenticated and passed on the request, but its keys are valid only there.
 * @param by the module options of the application
 */
export function authenticationBy(by: object, request: object): Authentication | undefined {
  const found = authenticationOf(request);
  return found?.by === by ? found : undefined;
}

/**
 * Returns the authentication of a request; undefined if no guard ran, or a guard refused the
 * request.
 */
export function authenticationOf(request: object): Authentication | undefined {
  const found = carrierOf(request)[AUTHENTICATION];
  return found?.request === request ? found : apart.get(request);
}

/**
 * Stores the key and the user of a request. Also sets `request.apiKey` and `request.user`, and
 * replaces earlier values.
 */
export function attachAuthentication(request: object, found: Authentication): void {
  const { apiKey, user } = found;
  found.request = request;
  keep(found, request);
  const isExposed = Reflect.get(Object.getPrototypeOf(request) ?? {}, EXPOSES) === true;
  if (!isExposed || Object.hasOwn(request, 'apiKey')) expose(request, 'apiKey', apiKey);
  if (!isExposed || Object.hasOwn(request, 'user')) expose(request, 'user', user);
}

/**
 * Attaches an authentication after a look-up, unless another guard of the same application has
 * authenticated the request during the look-up. The earlier authentication is kept, because limits
 * may already have counted the request in it.
 */
export function attachIfFirst(request: object, found: Authentication): void {
  if (authenticationOf(request)?.by !== found.by) attachAuthentication(request, found);
}

/**
 * Defines getters for `apiKey` and `user` on a prototype, for all requests that inherit from the
 * prototype. So these properties are not added to each request. Express sets the prototype of each
 * request anew, and V8 then takes microseconds for each added property.
 */
export function exposeThrough(prototype: object): void {
  if ('apiKey' in prototype || 'user' in prototype) return;
  Object.defineProperty(prototype, EXPOSES, { value: true });
  for (const name of ['apiKey', 'user'] as const)
    Object.defineProperty(prototype, name, {
      configurable: true,
      get() {
        return shownBy(this)?.[name];
      },
      set(value: unknown) {
        define(this, name, value);
      },
    });
}

interface Carrier {
  [AUTHENTICATION]?: Authentication;
}

/**
 * Returns the authentication of a request, or of the request from which it inherits or for which it
 * is a proxy. Ignores the authentication of an earlier request that had the same list of raw
 * headers.
 */
function shownBy(request: object): Authentication | undefined {
  const found = carrierOf(request)[AUTHENTICATION];
  for (let at: object | null = request; at; at = Object.getPrototypeOf(at)) {
    if (found?.request === at || types.isProxy(at)) return found;
    const own = apart.get(at);
    if (own) return own;
  }
  return undefined;
}

function keep(found: Authentication, request: object): void {
  try {
    const carrier = carrierOf(request);
    if (!isOfAnother(carrier, request)) carrier[AUTHENTICATION] = found;
  } catch {}
  if (carrierOf(request)[AUTHENTICATION] !== found) apart.set(request, found);
}

function isOfAnother({ [AUTHENTICATION]: kept }: Carrier, request: object): boolean {
  return kept !== undefined && kept.request !== request;
}

/**
 * Returns the object that stores the authentication. Usually this is the list of raw headers,
 * because a property on this list costs nothing. If the list is empty, the request itself is used,
 * because an adapter may give the same empty list to all requests. `apart` is used if a list is
 * frozen, shared, or created again for each reader (`ultimate-express`, `unenv`).
 */
function carrierOf(request: object): Carrier {
  return (rawHeadersOf(nodeRequest(request)) ?? request) as Carrier;
}

function expose(request: object, name: 'apiKey' | 'user', value: unknown): void {
  const open = request as { apiKey?: unknown; user?: unknown };
  if (open[name] === value) return;
  try {
    open[name] = value;
  } catch {}
  if (open[name] !== value) define(request, name, value);
}

/**
 * Redefines a property, because Fastify lets an application decorate requests with a getter.
 * `expose` tries an assignment first, because a redefined property makes all later accesses to the
 * request slow.
 */
function define(request: object, name: string, value: unknown): void {
  Object.defineProperty(request, name, { value, writable: true, configurable: true, enumerable: true });
}
