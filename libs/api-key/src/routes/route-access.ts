import { isDeepStrictEqual } from 'node:util';
import { GUARDS_METADATA } from '@nestjs/common/constants';
import type { ScopeDemand } from '../credential/scope';
import { type RouteContext, type RouteMethod, type RouteOwner, routeMethod } from '../transport/route-method';
import { accessDeclaredByName, declaredAccess } from './scopes.decorator';

/** What a request needs to reach a route. */
export interface RouteAccess extends ScopeDemand {
  readonly isPublic: boolean;
  /** One list for each decorator; a key must be of an environment that all of them name. */
  readonly environments: readonly (readonly string[])[];
}

/**
 * The access of a route. The scopes of class and method are added together. `@Public` does not
 * apply if a decorator or a guard of this library requires a key on the same class or method, or
 * closer to the route.
 */
export function routeAccess(context: { getClass(): object; getHandler(): object }): RouteAccess {
  const [owner, handler] = [context.getClass(), context.getHandler()];
  const ofClass = declaredAccess(owner);
  const ofMethod = declaredAccess(handler);
  const isOpenClass = () => ofClass.timesPublic > 0 && !ofClass.needsKey && !isGuardedFromPublicOn(owner);
  const isClosed = ofMethod.needsKey || isGuarded(handler);
  return {
    isPublic: !isClosed && (ofMethod.timesPublic > 0 || isOpenClass()),
    all: [...new Set([...ofClass.all, ...ofMethod.all])],
    any: [...ofClass.any, ...ofMethod.any],
    environments: [...ofClass.environments, ...ofMethod.environments],
  };
}

/** Whether a demand names at least one scope. */
export function asksForScopes({ all, any }: ScopeDemand): boolean {
  return all.length + any.length > 0;
}

/** Every scope that a demand names, without duplicates. */
export function scopesAskedFor({ all, any }: ScopeDemand): string[] {
  return [...new Set([...all, ...any.flat()])];
}

/**
 * Whether declarations on a method are missing on its function, because another decorator replaced
 * the function or a class overrides the method.
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
  /**
   * Access by handler. If several classes share a handler, `shared` has the access for the others.
   */
  private readonly known = new WeakMap<object, { readonly owner: object; readonly access: RouteAccess }>();
  private readonly shared = new WeakMap<object, WeakMap<object, RouteAccess>>();

  /** @throws Error if neither name nor metadata of the handler identify its method */
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

  /** Cached by method, so that a handler that is wrapped again for each request costs little. */
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
    `A handler of ${controller} is not a method of that class, by name or by metadata, so its decorators are unknown: ` +
    'do not rebind methods, and let wrappers copy their name and metadata'
  );
}

/**
 * Whether a guard of this library was added to the nearest `@Public` class, or to a class that
 * extends it. Wrappers copy inherited metadata to a class. So metadata equal to those of the
 * superclass were not declared on the class.
 */
function isGuardedFromPublicOn(owner: object): boolean {
  const above: object = Object.getPrototypeOf(owner);
  if (hasOurs(guardsAdded(guardsOn(owner), guardsOn(above)))) return true;
  return declaredAccess(owner) === declaredAccess(above) && isGuardedFromPublicOn(above);
}

/** `@UseGuards` repeats the guards of the superclasses before the guards that it adds. */
export function guardsAdded(guards: unknown[], inherited: unknown[]): unknown[] {
  return inherited.every((guard, at) => guards[at] === guard) ? guards.slice(inherited.length) : guards;
}

/**
 * Whether a guard of this library is set on a class or method, or on the source of its metadata.
 * The source is a superclass, or the method that a wrapper wraps.
 */
export function isGuarded(target: object): boolean {
  return hasOurs(guardsOn(target));
}

/** The guards of a class or method, as Nest finds them. */
export function guardsOn(target: object): unknown[] {
  return Reflect.getMetadata(GUARDS_METADATA, target) ?? [];
}

export function hasOurs(guards: unknown[]): boolean {
  return guards.some(isOurs);
}

/** Whether a guard is one of this library, or extends one. */
export function isOurs(guard: unknown): boolean {
  return declaredAccess(classOf(guard)).needsKey;
}

/** The class of a guard. The guard is a class or an instance. */
export function classOf(guard: unknown): object {
  if (typeof guard === 'function') return guard;
  const type: unknown = Object(guard).constructor;
  return typeof type === 'function' ? type : Object;
}
