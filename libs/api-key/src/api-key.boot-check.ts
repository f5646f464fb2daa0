import { Inject, Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { isInCatalogue, isWildcard } from './credential/scope';
import { asksForScopes, isGuarded, scopesAskedFor } from './route-access';
import { type Route, RouteInventory } from './route-inventory';
import { accessDeclaredByName, declaredAccess } from './scopes.decorator';
import { ScopesGuard } from './scopes.guard';

/** Stops the boot where it would leave a route less guarded than it says: no request has to find that out. */
@Injectable()
export class BootCheck implements OnModuleInit {
  private readonly logger = new Logger('ApiKeyModule');

  constructor(
    private readonly inventory: RouteInventory,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /** @throws Error that lists every route whose scopes are not in the catalogue, are checked by no ScopesGuard, or are lost; in strict mode also those that declare nothing */
  onModuleInit(): void {
    const wrong = this.inventory
      .routes()
      .flatMap((route) => [
        ...this.unknownScopes(route),
        ...this.uncheckedScopes(route),
        ...lostAccess(route),
        ...this.replacedInstance(route),
        ...this.droppedGuards(route),
      ]);
    const problems = [...wrong, ...this.undeclared()];
    if (problems.length > 0) throw new Error(`ApiKeyModule: ${problems.join('; ')}`);
    if (this.options.loopbackException && process.env.NODE_ENV === 'production') {
      this.logger.warn(
        'Plaintext from this machine is accepted: a proxy here that adds no header cannot be told from a local caller. ' +
          'If there is one, set loopbackException: false',
      );
    }
  }

  /** What strict mode refuses. */
  private undeclared(): string[] {
    const { strict } = this.options;
    if (strict === false) return [];
    const isOpen = (route: Route) =>
      !route.access.isPublic &&
      !asksForScopes(route.access) &&
      (strict === 'scopes' || this.inventory.guardsOf(route).length === 0);
    const names = this.inventory.controllerRoutes().filter(isOpen);
    const missing =
      strict === 'scopes' ? '@Scopes, @AnyScope or @Public' : 'a guard, @Scopes, @AnyScope or @Public';
    return names.map(
      ({ name }) => `${name} does not say who may use it (option "strict"): give it ${missing}`,
    );
  }

  private unknownScopes({ name, access }: Route): string[] {
    const { scopes } = this.options;
    const asked = scopesAskedFor(access);
    const catalogue = scopes && Object.keys(scopes);
    const unknown = asked.filter(
      (scope) => isWildcard(scope) || (catalogue && !isInCatalogue(catalogue, scope)),
    );
    return unknown.map(
      (scope) => `${name} asks for the scope "${scope}", which is not in the catalogue of option "scopes"`,
    );
  }

  private uncheckedScopes(route: Route): string[] {
    const { name, access } = route;
    const checked =
      access.isPublic || !asksForScopes(access) || this.inventory.guardsOf(route).some(isScopesGuard);
    return checked
      ? []
      : [
          `${name} asks for scopes that no guard checks: add @UseGuards(ApiKeyGuard, ScopesGuard) or use @ApiKeyAuth; a guard of yours that does it must extend ScopesGuard`,
        ];
  }

  /** Nest takes path and metadata from different places where a controller rebinds its methods, or is not of its class. */
  private replacedInstance(route: Route): string[] {
    const { name, owner, method, handler, instance } = route;
    if (!instance || !this.inventory.declaresAccess(route)) return [];
    const same = Reflect.get(instance, method) === handler && instance.constructor === owner;
    return same
      ? []
      : [
          `${name} loses what was declared on it, for its controller rebinds the method or passes for another class: do not`,
        ];
  }

  private droppedGuards(route: Route): string[] {
    const guarded = overridden(route.owner, route.method).some(isGuarded);
    return guarded && !route.access.isPublic && !this.inventory.needsKey(route)
      ? [`${route.name} overrides a route with guards and drops them: repeat @UseGuards, or use @Public()`]
      : [];
  }
}

/** The functions of a name in the classes that a class extends. */
function overridden({ prototype }: Route['owner'], method: string): object[] {
  const found: object[] = [];
  for (let above = Object.getPrototypeOf(prototype); above; above = Object.getPrototypeOf(above)) {
    const value: unknown = Object.getOwnPropertyDescriptor(above, method)?.value;
    if (typeof value === 'function') found.push(value);
  }
  return found;
}

/** A decorator that replaces the function of a method, or a class that overrides it, leaves behind what was declared on it. */
function lostAccess({ name, owner, method, handler }: Route): string[] {
  const declared = accessDeclaredByName(owner.prototype, method);
  const lost = declared && JSON.stringify(declared) !== JSON.stringify(declaredAccess(handler));
  return lost
    ? [
        `${name} lost what @Scopes, @AnyScope, @ApiKeyAuth or @Public declared, for its function was replaced by another decorator ` +
          'or overridden: put them above that decorator, and repeat them on the override',
      ]
    : [];
}

function isScopesGuard(guard: unknown): boolean {
  return (
    guard instanceof ScopesGuard ||
    guard === ScopesGuard ||
    (guard as { prototype?: unknown })?.prototype instanceof ScopesGuard
  );
}
