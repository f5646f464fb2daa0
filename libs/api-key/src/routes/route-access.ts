import { isDeepStrictEqual } from 'node:util';
import { GUARDS_METADATA } from '@nestjs/common/constants';
import type { ScopeDemand } from '../credential/scope';
import { type RouteContext, type RouteMethod, type RouteOwner, routeMethod } from '../transport/route-method';
import { accessDeclaredByName, declaredAccess } from './scopes.decorator';

/** What it takes to reach a route. */
export interface RouteAccess extends ScopeDemand {
  readonly isPublic: boolean;
}

/**
 * The access of a route: scopes of class and method add up; `@Public` on the class gives way to a method, or a class
 * that extends it, that asks for a key by a decorator or a guard of ours.
 */
export function routeAccess(context: { getClass(): object; getHandler(): object }): RouteAccess {
  const [owner, handler] = [context.getClass(), context.getHandler()];
  const ofClass = declaredAccess(owner);
  const ofMethod = declaredAccess(handler);
  const opensAll =
    ofClass.isPublic && !ofClass.needsKey && !isGuarded(handler) && !isGuardedBelowPublic(owner);
  return {
    isPublic: !ofMethod.needsKey && (ofMethod.isPublic || opensAll),
    all: [...new Set([...ofClass.all, ...ofMethod.all])],
    any: [...ofClass.any, ...ofMethod.any],
  };
}

/** Whether a demand names any scope. */
export function asksForScopes({ all, any }: ScopeDemand): boolean {
  return all.length + any.length > 0;
}

/** Every scope that a demand names, each once. */
export function scopesAskedFor({ all, any }: ScopeDemand): string[] {
  return [...new Set([...all, ...any.flat()])];
}

/**
 * Whether what was declared on a method is missing on its function, because another decorator
 * replaced the function or a class overrides it.
 */
export function isAccessLost(owner: RouteOwner, { name, declared }: RouteMethod): boolean {
  const byName = accessDeclaredByName(owner.prototype, name);
  return byName !== undefined && !isDeepStrictEqual(byName, declaredAccess(declared));
}

/**
 * The access of each route. Computed once, because decorators do not change while the application
 * runs.
 */
export class RouteAccesses {
  /** By handler, and for handlers that several classes share, by class. */
  private readonly known = new WeakMap<object, { readonly owner: object; readonly access: RouteAccess }>();
  private readonly shared = new WeakMap<object, WeakMap<object, RouteAccess>>();

  /** @throws Error if neither name nor metadata of the handler tell which method it stands for */
  of(context: RouteContext): RouteAccess {
    const known = this.known.get(context.getHandler());
    if (known?.owner === context.getClass()) return known.access;
    return this.shared.get(context.getClass())?.get(context.getHandler()) ?? this.learn(context);
  }

  private learn(context: RouteContext): RouteAccess {
    const [owner, handler] = [context.getClass(), context.getHandler()];
    const access = this.accessOf(owner, routeMethod(context));
    if (!this.known.has(handler)) this.known.set(handler, { owner, access });
    else this.sharedOf(owner).set(handler, access);
    return access;
  }

  /** A handler that is wrapped anew for each request costs little, because its method is known. */
  private accessOf(owner: RouteOwner, method: RouteMethod | undefined): RouteAccess {
    const ofClass = this.sharedOf(owner);
    const known = method && ofClass.get(method.declared);
    if (known) return known;
    if (!method || isAccessLost(owner, method)) throw new Error(unknownHandler(owner.name));
    const access = routeAccess({ getClass: () => owner, getHandler: () => method.declared });
    ofClass.set(method.declared, access);
    return access;
  }

  private sharedOf(owner: RouteOwner): WeakMap<object, RouteAccess> {
    const ofClass = this.shared.get(owner) ?? new WeakMap<object, RouteAccess>();
    this.shared.set(owner, ofClass);
    return ofClass;
  }
}

function unknownHandler(controller: string): string {
  return (
    `A handler of ${controller} is none of its methods, by name or by metadata, so what was declared on it is unknown: ` +
    'do not rebind methods, and let wrappers copy their name and metadata'
  );
}

/**
 * Whether a class stands below the nearest `@Public` of its chain and adds a guard of ours. Wrappers
 * copy to a class what it inherits, so what equals that of the class above was not declared on it.
 */
function isGuardedBelowPublic(owner: object): boolean {
  const above: object = Object.getPrototypeOf(owner);
  if (declaredAccess(owner) !== declaredAccess(above)) return false;
  return hasOurs(guardsAdded(guardsOn(owner), guardsOn(above))) || isGuardedBelowPublic(above);
}

/** `@UseGuards` repeats the guards of the classes above, before those that it adds. */
function guardsAdded(guards: unknown[], inherited: unknown[]): unknown[] {
  return inherited.every((guard, at) => guards[at] === guard) ? guards.slice(inherited.length) : guards;
}

/**
 * Whether a guard of ours is set on a class or method, or on what it has its metadata from: a class
 * that it extends, or a method that it wraps.
 */
export function isGuarded(target: object): boolean {
  return hasOurs(guardsOn(target));
}

/** The guards of a class or method, as Nest finds them. */
export function guardsOn(target: object): unknown[] {
  return Reflect.getMetadata(GUARDS_METADATA, target) ?? [];
}

function hasOurs(guards: unknown[]): boolean {
  return guards.some((guard) => declaredAccess(classOf(guard)).needsKey);
}

/** The class of a guard that is one, or an instance of one. */
export function classOf(guard: unknown): object {
  return typeof guard === 'function' ? guard : (Object(guard) as object).constructor;
}
