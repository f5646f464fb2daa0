import { isScope } from '../credential/scope';
import type { Scope } from '../model/scope-catalogue';
import { ROUTE_ACCESS } from '../transport/route-method';

/** What one class or method declares about its access. */
export interface AccessDeclaration {
  /** How often `@Public` was applied. For a class this includes its superclasses. */
  readonly timesPublic: number;
  readonly needsKey: boolean;
  readonly all: readonly string[];
  readonly any: readonly (readonly string[])[];
  /** Each list names the environments that one decorator accepts. */
  readonly environments: readonly (readonly string[])[];
}

type Decorator = ClassDecorator & MethodDecorator;

const NOTHING: AccessDeclaration = { timesPublic: 0, needsKey: false, all: [], any: [], environments: [] };

/**
 * Requires all of these scopes, in addition to the scopes of the class and of other decorators.
 * @throws TypeError if no scope is given, or a scope is not an RFC 6749 `scope-token`
 */
export function Scopes(...scopes: [Scope, ...Scope[]]): Decorator {
  requireScopes('@Scopes', scopes);
  return declare((earlier) => ({ ...earlier, needsKey: true, all: [...earlier.all, ...scopes] }));
}

/**
 * Requires at least one of these scopes, in addition to the scopes of the class and of other
 * decorators.
 * @throws TypeError if no scope is given, or a scope is not an RFC 6749 `scope-token`
 */
export function AnyScope(...scopes: [Scope, ...Scope[]]): Decorator {
  requireScopes('@AnyScope', scopes);
  return declare((earlier) => ({ ...earlier, needsKey: true, any: [...earlier.any, scopes] }));
}

/**
 * Opens a route, or all routes of a class: no key is required or read. A guard of this library, and
 * a decorator that requires a key, have priority if they are closer to the route. Beside them, on
 * the same class or method, `@Public` stops the boot, and so does `@Public` on a class whose
 * superclass has such a decorator.
 */
export function Public(): Decorator {
  return declare((earlier) => ({ ...earlier, timesPublic: earlier.timesPublic + 1 }));
}

/**
 * Requires a valid key. On a class or method: for its routes. On a guard: for the routes with that
 * guard.
 */
export function NeedsKey(): Decorator {
  return declare((earlier) => ({ ...earlier, needsKey: true }));
}

/** What a class or method declares itself. For a class this includes inherited declarations. */
export function declaredAccess(target: object): AccessDeclaration {
  return Reflect.getMetadata(ROUTE_ACCESS, target) ?? NOTHING;
}

/**
 * What was declared on the method with this name, even if the function was replaced later.
 * Inherited unless a subclass declares it again.
 */
export function accessDeclaredByName(prototype: object, method: string): AccessDeclaration | undefined {
  return Reflect.getMetadata(ROUTE_ACCESS, prototype, method);
}

/** A decorator of classes and methods, which extends what was declared there before. */
export function declare(extend: (earlier: AccessDeclaration) => AccessDeclaration): Decorator {
  return ((target: object, key?: string | symbol, descriptor?: PropertyDescriptor) => {
    if (key !== undefined && typeof descriptor?.value !== 'function')
      throw new TypeError(
        `${String(key)} is not a method: use @Scopes, @AnyScope, @Environments, @ApiKeyAuth and @Public only on classes and methods`,
      );
    const declared: object = descriptor?.value ?? target;
    Reflect.defineMetadata(ROUTE_ACCESS, extend(declaredAccess(declared)), declared);
    if (key === undefined) return;
    const byName: AccessDeclaration = Reflect.getOwnMetadata(ROUTE_ACCESS, target, key) ?? NOTHING;
    Reflect.defineMetadata(ROUTE_ACCESS, extend(byName), target, key);
  }) as Decorator;
}

function requireScopes(decorator: string, scopes: readonly string[]): void {
  if (scopes.length === 0)
    throw new TypeError(`${decorator}() has no scopes; for a public route use @Public()`);
  const wrong = scopes.findIndex((scope) => !isScope(scope));
  if (wrong < 0) return;
  throw new TypeError(`${decorator}: ${JSON.stringify(scopes[wrong])} is not a scope (RFC 6749 section 3.3)`);
}
