import { GUARDS_METADATA } from '@nestjs/common/constants';
import type { ScopeDemand } from './credential/scope';
import { declaredAccess, ownAccess } from './scopes.decorator';

/** What it takes to reach a route. */
export interface RouteAccess extends ScopeDemand {
  readonly isPublic: boolean;
}

interface RouteContext {
  getClass(): object;
  getHandler(): object;
}

/**
 * The access of a route: scopes of class and method add up; `@Public` on the class gives way to a method, or a class
 * that extends it, that asks for a key by a decorator or a guard of ours.
 */
export function routeAccess(context: RouteContext): RouteAccess {
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

/** Remembers the access of each route: decorators do not change once the application runs. */
export class RouteAccesses {
  /** By method, and of those that several classes inherit, by class. */
  private readonly known = new WeakMap<object, { readonly owner: object; readonly access: RouteAccess }>();
  private readonly inherited = new WeakMap<object, WeakMap<object, RouteAccess>>();

  of(context: RouteContext): RouteAccess {
    const known = this.known.get(context.getHandler());
    if (known?.owner === context.getClass()) return known.access;
    return this.inherited.get(context.getClass())?.get(context.getHandler()) ?? this.learn(context);
  }

  /** @throws Error where the handler is not the method that was decorated: what it takes cannot be known then */
  private learn(context: RouteContext): RouteAccess {
    const [owner, handler] = [context.getClass(), context.getHandler()];
    if (!isMethodOf(owner, handler))
      throw new Error(
        'A controller replaced the method of a route, and what was declared on it is lost: do not rebind methods',
      );
    const access = routeAccess(context);
    if (!this.known.has(handler)) this.known.set(handler, { owner, access });
    const ofClass = this.inherited.get(owner) ?? new WeakMap<object, RouteAccess>();
    this.inherited.set(owner, ofClass.set(handler, access));
    return access;
  }
}

/** Whether a class stands below the nearest `@Public` of its chain and sets a guard of ours. */
function isGuardedBelowPublic(owner: object): boolean {
  if (ownAccess(owner)) return false;
  return isGuarded(owner) || isGuardedBelowPublic(Object.getPrototypeOf(owner));
}

/** Whether a guard of ours is set on a class or method itself. */
export function isGuarded(target: object): boolean {
  const guards: unknown[] = Reflect.getOwnMetadata(GUARDS_METADATA, target) ?? [];
  return guards.some((guard) => declaredAccess(classOf(guard)).needsKey);
}

/** The class of a guard that is one, or an instance of one. */
export function classOf(guard: unknown): object {
  return typeof guard === 'function' ? guard : (Object(guard) as object).constructor;
}

function isMethodOf(owner: object, handler: object): boolean {
  let { prototype } = owner as { readonly prototype?: object | null };
  while (prototype) {
    const methods = Object.values(Object.getOwnPropertyDescriptors(prototype));
    if (methods.some(({ value }) => value === handler)) return true;
    prototype = Object.getPrototypeOf(prototype);
  }
  return false;
}
