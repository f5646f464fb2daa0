import { isDeepStrictEqual } from 'node:util';
import { METHOD_METADATA, PATH_METADATA, VERSION_METADATA } from '@nestjs/common/constants';

/** A method of a class that handles requests. */
export interface RouteMethod {
  /** Name of the method on the class. */
  readonly name: string;
  /** The function on the class, with the metadata of its decorators. */
  readonly declared: object;
}

/** The part of Nest's execution context that identifies the route of a request. */
export interface RouteContext {
  getClass(): RouteOwner;
  getHandler(): RouteHandler;
}

/** The function that handles the requests of a route. */
export type RouteHandler = object & { readonly name: string };
/** The class of a route. */
export type RouteOwner = object & { readonly name: string; readonly prototype: object };
type Prototype = object | null;

/** Metadata key of route access. All copies of the package in one application share this key. */
export const ROUTE_ACCESS = Symbol.for('nestjs-api-key route access');

/** Metadata keys that distinguish the methods of a class. */
const TELLING = [ROUTE_ACCESS, PATH_METADATA, METHOD_METADATA, VERSION_METADATA];

/**
 * Cached results of `methodOf` by class and handler. `methodOf` takes microseconds, and an
 * application has few handlers.
 */
const known = new WeakMap<object, WeakMap<object, RouteMethod>>();

/**
 * Returns the method of a route by its handler. Tracing agents wrap handlers, so the handler may be
 * a different function than the method. The name or the metadata of the handler then identify the
 * method.
 * @returns undefined if neither name nor metadata identify a method
 */
export function routeMethod(context: RouteContext): RouteMethod | undefined {
  const [owner, handler] = [context.getClass(), context.getHandler()];
  const ofClass = known.get(owner) ?? new WeakMap<object, RouteMethod>();
  const found = ofClass.get(handler);
  if (found) return found;
  const method = methodOf(owner, handler);
  if (method) known.set(owner, ofClass.set(handler, method));
  return method;
}

/** Returns class and method, such as `OrdersController.list`, for logs and the audit trail. */
export function routeName(context: RouteContext): string {
  return `${context.getClass().name}.${routeMethod(context)?.name ?? context.getHandler().name}`;
}

/** Returns whether a handler has all metadata of a method, so that no declaration is lost. */
export function carriesMetadata(handler: object, method: object): boolean {
  if (handler === method) return true;
  return Reflect.getMetadataKeys(method).every((key) => hasSame(key, handler, method));
}

function methodOf(
  { prototype }: RouteOwner,
  handler: object & { readonly name?: unknown },
): RouteMethod | undefined {
  const named = methodNamed(prototype, handler.name);
  if (named && isCopy(handler, named.declared)) return named;
  const itself = methodThatIs(prototype, handler);
  if (itself) return itself;
  return named && !contradicts(handler, named.declared) ? named : methodMarkedAs(prototype, handler);
}

/**
 * Checks whether a handler is the method itself, or a wrapper with the same distinguishing
 * metadata.
 */
function isCopy(handler: object, method: object): boolean {
  if (handler === method) return true;
  return Reflect.hasMetadata(PATH_METADATA, handler) && TELLING.every((key) => hasSame(key, handler, method));
}

function methodNamed(prototype: Prototype, name: unknown): RouteMethod | undefined {
  if (typeof name !== 'string' || name === 'constructor') return undefined;
  for (let at: Prototype = prototype; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    const found = Reflect.getOwnPropertyDescriptor(at, name);
    if (found) return typeof found.value === 'function' ? { name, declared: found.value } : undefined;
  }
  return undefined;
}

/**
 * Finds the method that is the handler itself, in the class and in the classes that it extends.
 * Also searches overridden methods.
 */
function methodThatIs(prototype: Prototype, handler: object): RouteMethod | undefined {
  for (let at: Prototype = prototype; at; at = Object.getPrototypeOf(at))
    for (const [key, declared] of functionsOf(at))
      if (declared === handler) return { name: String(key), declared };
  return undefined;
}

/**
 * Finds the method whose metadata the handler has. If several methods match, the method with the
 * most metadata is returned.
 */
function methodMarkedAs(prototype: Prototype, handler: object): RouteMethod | undefined {
  const [first, second] = [...methodsOf(prototype)]
    .map(([key, declared]) => ({ key, declared, size: Reflect.getMetadataKeys(declared).length }))
    .filter(({ declared, size }) => size > 0 && carriesMetadata(handler, declared))
    .sort((a, b) => b.size - a.size);
  if (!first || first.size === second?.size || contradicts(handler, first.declared)) return undefined;
  return { name: String(first.key), declared: first.declared };
}

/** Checks whether a handler and a method have different values of distinguishing metadata. */
function contradicts(handler: object, method: object): boolean {
  return TELLING.some((key) => Reflect.hasMetadata(key, handler) && !hasSame(key, handler, method));
}

function hasSame(key: unknown, handler: object, method: object): boolean {
  return isDeepStrictEqual(Reflect.getMetadata(key, handler), Reflect.getMetadata(key, method));
}

/** Returns the methods of a class by name. An overriding method replaces the overridden method. */
function methodsOf(prototype: Prototype): Map<PropertyKey, object> {
  const methods = new Map<PropertyKey, object>();
  for (let at: Prototype = prototype; at && at !== Object.prototype; at = Object.getPrototypeOf(at))
    for (const [key, declared] of functionsOf(at))
      if (key !== 'constructor' && !methods.has(key)) methods.set(key, declared);
  return methods;
}

/**
 * Returns the functions on a prototype. Reads descriptors, because a getter of the application must
 * not run during this search.
 */
function functionsOf(prototype: object): (readonly [PropertyKey, object])[] {
  return Reflect.ownKeys(prototype).flatMap((key) => {
    const value: unknown = Reflect.getOwnPropertyDescriptor(prototype, key)?.value;
    return typeof value === 'function' ? [[key, value] as const] : [];
  });
}
