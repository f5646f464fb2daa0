import { isDeepStrictEqual } from 'node:util';
import { METHOD_METADATA, PATH_METADATA, VERSION_METADATA } from '@nestjs/common/constants';

/** A method of a class that requests reach. */
export interface RouteMethod {
  /** Its name on the class. */
  readonly name: string;
  /** The function on the class, with the metadata of its decorators. */
  readonly declared: object;
}

/** The part of Nest's execution context that tells which route a request reached. */
export interface RouteContext {
  getClass(): RouteOwner;
  getHandler(): object & { readonly name?: string };
}

/** The class of a route. */
export type RouteOwner = object & { readonly name: string; readonly prototype: object };
type Prototype = object | null;

/** Key of the metadata. Shared by all copies of the package in one application. */
export const ROUTE_ACCESS = Symbol.for('nestjs-api-key route access');

/** The metadata that tell the methods of a class apart. */
const TELLING = [ROUTE_ACCESS, PATH_METADATA, METHOD_METADATA, VERSION_METADATA];

/** What `methodOf` found, by class and handler: it takes microseconds, and handlers are few. */
const known = new WeakMap<object, WeakMap<object, RouteMethod>>();

/**
 * The method that the handler of a context stands for. Tracing agents wrap handlers, so the handler
 * need not be the method itself: its name or its metadata tell.
 * @returns undefined if neither tells
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

/** Class and method, as `OrdersController.list`, for logs and the trail. */
export function routeName(context: RouteContext): string {
  return `${context.getClass().name}.${routeMethod(context)?.name ?? context.getHandler().name ?? ''}`;
}

/** Whether a function carries all metadata of a method, so that nothing declared on it is lost. */
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

/** Whether a handler is a method, or a wrapper that carries what tells methods apart. */
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
 * The handler, if it is a method of the class or of one that it extends, even an overridden one.
 */
function methodThatIs(prototype: Prototype, handler: object): RouteMethod | undefined {
  for (let at: Prototype = prototype; at; at = Object.getPrototypeOf(at))
    for (const [key, declared] of functionsOf(at))
      if (declared === handler) return { name: String(key), declared };
  return undefined;
}

/** The one method whose metadata the handler carries; of several, the one that has most. */
function methodMarkedAs(prototype: Prototype, handler: object): RouteMethod | undefined {
  const [first, second] = [...methodsOf(prototype)]
    .map(([key, declared]) => ({ key, declared, size: Reflect.getMetadataKeys(declared).length }))
    .filter(({ declared, size }) => size > 0 && carriesMetadata(handler, declared))
    .sort((a, b) => b.size - a.size);
  if (!first || first.size === second?.size || contradicts(handler, first.declared)) return undefined;
  return { name: String(first.key), declared: first.declared };
}

/** Whether a handler carries what tells methods apart, and of another method. */
function contradicts(handler: object, method: object): boolean {
  return TELLING.some((key) => Reflect.hasMetadata(key, handler) && !hasSame(key, handler, method));
}

function hasSame(key: unknown, handler: object, method: object): boolean {
  return isDeepStrictEqual(Reflect.getMetadata(key, handler), Reflect.getMetadata(key, method));
}

/** The methods of a class by name, of those that override each other the nearest. */
function methodsOf(prototype: Prototype): Map<PropertyKey, object> {
  const methods = new Map<PropertyKey, object>();
  for (let at: Prototype = prototype; at && at !== Object.prototype; at = Object.getPrototypeOf(at))
    for (const [key, declared] of functionsOf(at))
      if (key !== 'constructor' && !methods.has(key)) methods.set(key, declared);
  return methods;
}

/** Read from descriptors, because a getter of the application must not run here. */
function functionsOf(prototype: object): (readonly [PropertyKey, object])[] {
  return Reflect.ownKeys(prototype).flatMap((key) => {
    const value: unknown = Reflect.getOwnPropertyDescriptor(prototype, key)?.value;
    return typeof value === 'function' ? [[key, value] as const] : [];
  });
}
