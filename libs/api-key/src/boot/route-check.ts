import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { PATH_METADATA } from '@nestjs/common/constants';
import { ApplicationConfig } from '@nestjs/core';
import { isInCatalogue, isWildcard } from '../credential/scope';
import { API_KEY_OPTIONS, catalogueOf, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { environmentsOf } from '../options/prefixes';
import { isCostLost } from '../rate-limit/route-limits';
import { isGuardOf, mayAuthenticate } from '../routes/guard-class';
import { handlerKnownToNest } from '../routes/nest-handler';
import { ReplacedMethodGuard } from '../routes/replaced-method.guard';
import { asksForScopes, isAccessLost, isGuarded, scopesAskedFor } from '../routes/route-access';
import { type Route, RouteInventory } from '../routes/route-inventory';
import { ScopesGuard } from '../routes/scopes.guard';
import { carriesMetadata, type RouteHandler, type RouteOwner, routeMethod } from '../transport/route-method';
import type { BootCheck } from './boot-check';
import { environmentProblems } from './route-environments';

/** Checks at boot that each route has the protection that it declares. */
@Injectable()
export class RouteCheck implements BootCheck, OnModuleInit {
  constructor(
    private readonly inventory: RouteInventory,
    private readonly application: ApplicationConfig,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /**
   * @returns the faults of all routes: unknown scopes and environments, scopes and environments
   *   that no guard checks, and lost metadata or guards. In strict mode also routes without
   *   declared access
   */
  problems(): readonly string[] {
    const wrong = this.inventory
      .routes()
      .flatMap((route) => [
        ...this.unknownScopes(route),
        ...this.uncheckedScopes(route),
        ...this.environments(route),
        ...lostAccess(route),
        ...this.replacedInstance(route),
        ...this.droppedGuards(route),
      ]);
    return [...new Set([...wrong, ...this.undeclared()])];
  }

  /**
   * Adds a guard that checks controllers that are created for each request. A global guard that is
   * added now applies only to these, because Nest has already registered the routes of the others.
   */
  onModuleInit(): void {
    const perRequest = this.inventory.routes().filter((route) => !route.instance && this.isOurs(route));
    const prototypes = new Set(perRequest.map(({ owner }) => owner.prototype));
    if (prototypes.size > 0) this.application.useGlobalGuards(new ReplacedMethodGuard(prototypes));
  }

  /** Whether the access to a route depends on this library. */
  private isOurs(route: Route): boolean {
    const passedFor = { ...route, owner: classOfInstance(route) };
    return (
      [route, passedFor].some((one) => this.inventory.declaresAccess(one)) || this.inventory.needsKey(route)
    );
  }

  /** The faults that are reported only in strict mode. */
  private undeclared(): string[] {
    const { strict } = this.options;
    if (strict === false) return [];
    const isOpen = (route: Route) =>
      !route.access.isPublic &&
      !asksForScopes(route.access) &&
      (strict === 'scopes' || !this.inventory.guardsOf(route).some(mayAuthenticate));
    const names = this.inventory.controllerRoutes().filter(isOpen);
    const missing =
      strict === 'scopes' ? '@Scopes, @AnyScope or @Public' : 'a guard, @Scopes, @AnyScope or @Public';
    return names.map(
      ({ name }) => `${name} does not declare who may use it (option "strict"): add ${missing}`,
    );
  }

  private unknownScopes({ name, access }: Route): string[] {
    const catalogue = catalogueOf(this.options);
    const asked = scopesAskedFor(access);
    const unknown = asked.filter(
      (scope) => isWildcard(scope) || (catalogue && !isInCatalogue(catalogue, scope)),
    );
    return unknown.map(
      (scope) => `${name} requires the scope "${scope}", which is not in the catalogue of option "scopes"`,
    );
  }

  private uncheckedScopes(route: Route): string[] {
    const { name, access } = route;
    const checked =
      access.isPublic ||
      !asksForScopes(access) ||
      this.inventory.guardsOf(route).some((guard) => isGuardOf(guard, ScopesGuard));
    return checked
      ? []
      : [
          `${name} requires scopes that no guard checks: add @UseGuards(ApiKeyGuard, ScopesGuard) or use @ApiKeyAuth; your own guard for scopes must extend ScopesGuard, and a request-scoped APP_GUARD needs useClass or useExisting`,
        ];
  }

  private environments(route: Route): string[] {
    return environmentProblems(route, this.inventory.guardsOf(route), environmentsOf(this.options.prefix));
  }

  /**
   * Nest reads the path of a route from the prototype, other metadata from the instance, and the
   * class from the `constructor` of the instance. A method without metadata is not a route.
   */
  private replacedInstance(route: Route): string[] {
    const { name, handler } = route;
    if (!this.isOurs(route) || Reflect.getMetadataKeys(handler).length === 0) return [];
    return keepsAll(route)
      ? this.wrappedHandler(route)
      : [
          `${name} loses its decorators, because its controller replaces the method or stands in for another class: ` +
            'do not do that, or copy name and metadata',
        ];
  }

  /**
   * Reports a wrapped handler that lost metadata. A wrapper that runs after all decorators, such as
   * a tracing agent, may not copy the metadata.
   */
  private wrappedHandler(route: Route): string[] {
    const { name, method, handler } = route;
    if (!Reflect.hasMetadata(PATH_METADATA, handler)) return [];
    const known = handlerKnownToNest(instanceOf(route), calledOf(route) as object, method);
    if (!known || !isTold(route, known))
      return [`${name} is wrapped, and cannot be identified by name or metadata: let the wrapper copy both`];
    const left = this.inventory.guardsOf({ ...route, handler: known });
    const losesGuards = this.inventory.guardsOf(route).some((guard) => !left.includes(guard));
    return losesGuards ? [`${name} is wrapped and loses its guards: let the wrapper copy the metadata`] : [];
  }

  private droppedGuards(route: Route): string[] {
    const guarded = overridden(route.owner, route.method).some(isGuarded);
    return guarded && !route.access.isPublic && !this.inventory.needsKey(route)
      ? [`${route.name} overrides a route with guards and drops them: repeat @UseGuards, or use @Public()`]
      : [];
  }
}

/** The methods of the given name in all parent classes. */
function overridden({ prototype }: Route['owner'], method: string): object[] {
  const found: object[] = [];
  for (let above = Object.getPrototypeOf(prototype); above; above = Object.getPrototypeOf(above)) {
    const value: unknown = Object.getOwnPropertyDescriptor(above, method)?.value;
    if (typeof value === 'function') found.push(value);
  }
  return found;
}

/**
 * Reports lost metadata. If a decorator replaces the function of a method, or a class overrides the
 * method, the new function lacks the metadata of the old function.
 */
function lostAccess({ name, owner, method, handler }: Route): string[] {
  const declared = { name: method, declared: handler };
  const problems: string[] = [];
  if (isAccessLost(owner, declared))
    problems.push(
      `${name} lost its @Scopes, @AnyScope, @Environments, @ApiKeyAuth or @Public, because its function was replaced by another decorator ` +
        'or overridden: put them above that decorator, and repeat them on the override',
    );
  if (isCostLost(owner.prototype, declared))
    problems.push(
      `${name} lost its @Cost, because another decorator replaced its function: put it above that decorator`,
    );
  return problems;
}

/** Nest knows only an empty instance of a controller that is created for each request. */
function instanceOf({ instance, owner }: Route): object {
  return instance ?? Object.create(owner.prototype);
}

function classOfInstance(route: Route): RouteOwner {
  return instanceOf(route).constructor;
}

function calledOf({ instance, method, handler }: Route): unknown {
  return instance ? Reflect.get(instance, method) : handler;
}

function keepsAll(route: Route): boolean {
  const called = calledOf(route);
  const isWhole = typeof called === 'function' && carriesMetadata(called, route.handler);
  return isWhole && isSameClass(classOfInstance(route), route.owner) && isTold(route, called);
}

/** A Proxy of a class is a different object, and may lack metadata of the class. */
function isSameClass(one: RouteOwner, other: RouteOwner): boolean {
  const carryTheSame = carriesMetadata(one, other) && carriesMetadata(other, one);
  return one === other || (one.prototype === other.prototype && carryTheSame);
}

/** Whether a handler can be identified as the method of a route. */
function isTold(route: Route, handler: RouteHandler): boolean {
  const context = { getClass: () => classOfInstance(route), getHandler: () => handler };
  return routeMethod(context)?.name === route.method;
}
