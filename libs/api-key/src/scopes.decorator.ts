import { isScope } from './credential/scope';
import type { Scope } from './scope-catalogue';

const ROUTE_ACCESS = Symbol('nestjs-api-key route access');

/** What one class or method declares of its access. */
export interface AccessDeclaration {
  readonly isPublic: boolean;
  readonly all: readonly string[];
  readonly any: readonly (readonly string[])[];
}

type Decorator = ClassDecorator & MethodDecorator;

const NOTHING: AccessDeclaration = { isPublic: false, all: [], any: [] };

/**
 * Asks for all of these scopes, in addition to those that the class and other decorators ask for.
 * @throws TypeError where none is named, or one is not an RFC 6749 `scope-token`
 */
export function Scopes(...scopes: [Scope, ...Scope[]]): Decorator {
  requireScopes('@Scopes', scopes);
  return declare((earlier) => ({ ...earlier, all: [...earlier.all, ...scopes] }));
}

/**
 * Asks for at least one of these scopes, in addition to those that the class and other decorators ask for.
 * @throws TypeError where none is named, or one is not an RFC 6749 `scope-token`
 */
export function AnyScope(...scopes: [Scope, ...Scope[]]): Decorator {
  requireScopes('@AnyScope', scopes);
  return declare((earlier) => ({ ...earlier, any: [...earlier.any, scopes] }));
}

/** Opens a route, or all routes of a class: no key is asked for, none is looked at. Scopes declared nearer to the route win. */
export function Public(): Decorator {
  return declare((earlier) => ({ ...earlier, isPublic: true }));
}

/** What a class or method declares itself; a class includes what it inherits. */
export function declaredAccess(target: object): AccessDeclaration {
  return Reflect.getMetadata(ROUTE_ACCESS, target) ?? NOTHING;
}

function declare(extend: (earlier: AccessDeclaration) => AccessDeclaration): Decorator {
  return ((target: object, _key?: string | symbol, descriptor?: PropertyDescriptor) => {
    const declared: object = descriptor?.value ?? target;
    Reflect.defineMetadata(ROUTE_ACCESS, extend(declaredAccess(declared)), declared);
  }) as Decorator;
}

function requireScopes(decorator: string, scopes: readonly string[]): void {
  if (scopes.length === 0)
    throw new TypeError(`${decorator}() names no scope; for a route open to all use @Public()`);
  const wrong = scopes.findIndex((scope) => !isScope(scope));
  if (wrong < 0) return;
  throw new TypeError(`${decorator}: ${JSON.stringify(scopes[wrong])} is not a scope (RFC 6749 section 3.3)`);
}
