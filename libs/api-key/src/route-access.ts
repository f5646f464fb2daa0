import type { ScopeDemand } from './credential/scope';
import { declaredAccess } from './scopes.decorator';

/** What it takes to reach a route. */
export interface RouteAccess extends ScopeDemand {
  readonly isPublic: boolean;
}

interface RouteContext {
  getClass(): object;
  getHandler(): object;
}

/** The access of a route: scopes of class and method add up; `@Public` on the class gives way to scopes on the method. */
export function routeAccess(context: RouteContext): RouteAccess {
  const ofClass = declaredAccess(context.getClass());
  const ofMethod = declaredAccess(context.getHandler());
  return {
    isPublic:
      !asksForScopes(ofMethod) && (ofMethod.isPublic || (ofClass.isPublic && !asksForScopes(ofClass))),
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
