import { Injectable } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { GlobalGuards } from '../routes/global-guards';
import {
  type ClassContradiction,
  classContradiction,
  contradictsOnMethod,
} from '../routes/public-contradiction';
import { asksForScopes, isGuarded, type RouteAccess } from '../routes/route-access';
import { type Route, RouteInventory } from '../routes/route-inventory';
import { declaredAccess } from '../routes/scopes.decorator';
import type { BootCheck } from './boot-check';
import { limitsComeLate, type OrderFault, orderFault } from './guard-order';
import { routesWithoutHandler } from './unreached-guards';

const REMEDY =
  'put ApiKeyGuard before it. Guards of the application run first, then those of the class, then those of the method';
const BESIDE = 'a guard of this library, @Scopes, @AnyScope, @Environments or @ApiKeyAuth';

/** Checks at boot that guards are in a place and an order in which they work. */
@Injectable()
export class GuardCheck implements BootCheck {
  constructor(
    private readonly inventory: RouteInventory,
    private readonly globals: GlobalGuards,
    private readonly modules: ModulesContainer,
  ) {}

  problems(): readonly string[] {
    const routes = this.inventory.routes();
    return [
      ...contradictions(routes),
      ...this.orderFaults(routes, true).map(
        (fault) => `${fault}, so that no key is accepted there: ${REMEDY}`,
      ),
      ...this.guardedModules(),
    ];
  }

  warnings(): readonly string[] {
    const routes = this.inventory.routes();
    return [
      ...this.orderFaults(routes, false).map(
        (fault) =>
          `${fault}, so that no key is accepted there unless another guard authenticates it: ${REMEDY}`,
      ),
      ...this.lateLimits(routes),
      ...unreached(this.inventory.guardedProviders()),
    ];
  }

  /** One text for each fault, with all routes that have it. */
  private orderFaults(all: readonly Route[], isCertain: boolean): string[] {
    const routes = new Map<string, string[]>();
    for (const route of this.judged(all)) {
      const fault: OrderFault | null = orderFault(this.inventory.guardLevels(route));
      if (fault?.isCertain === isCertain)
        routes.set(fault.text, [...(routes.get(fault.text) ?? []), route.name]);
    }
    return [...routes].map(([fault, names]) => `${fault} on ${[...new Set(names)].join(', ')}`);
  }

  private lateLimits(routes: readonly Route[]): string[] {
    const names = this.judged(routes)
      .filter((route) => mayRefuse(route.access) && limitsComeLate(this.inventory.guardLevels(route)))
      .map(({ name }) => name);
    return names.length === 0
      ? []
      : [
          `ApiKeyThrottlerGuard runs after ScopesGuard on ${[...new Set(names)].join(', ')}, so that requests that ScopesGuard refuses count on no limit: ` +
            'put it between ApiKeyGuard and ScopesGuard',
        ];
  }

  /** Handlers that are not public. None without HTTP, where guards of the server are unknown. */
  private judged(routes: readonly Route[]): Route[] {
    if (!this.globals.areFinal) return [];
    return routes.filter(({ access, handler }) => !access.isPublic && isHandler(handler));
  }

  /** Nest reads no guards from a module. */
  private guardedModules(): string[] {
    const classes = new Set([...this.modules.values()].map(({ metatype }) => metatype));
    return [...classes]
      .filter((module) => isGuarded(module) || declaredAccess(module) !== declaredAccess(Object))
      .map(
        ({ name }) =>
          `${name} is a module, where guards, @Scopes, @AnyScope, @Environments, @ApiKeyAuth and @Public have no effect: ` +
          'put them on controllers, or provide guards as APP_GUARD',
      );
  }
}

function contradictions(routes: readonly Route[]): string[] {
  const problems = routes.flatMap(({ name, owner, handler }) => {
    const onClass = classContradiction(owner);
    const onMethod = contradictsOnMethod(handler);
    return [...(onClass ? [contradictionOf(onClass)] : []), ...(onMethod ? [standsBeside(name)] : [])];
  });
  return [...new Set(problems)];
}

function standsBeside(name: string): string {
  return `${name} has @Public beside ${BESIDE}: remove one of them`;
}

function contradictionOf({ type, isInherited }: ClassContradiction): string {
  const { name } = type as { readonly name: string };
  return isInherited
    ? `${name} has @Public, but extends a class with @Scopes, @AnyScope, @Environments or @ApiKeyAuth, which has priority: put @Public on methods`
    : standsBeside(name);
}

/** Whether ScopesGuard refuses some valid keys. */
function mayRefuse(access: RouteAccess): boolean {
  return asksForScopes(access) || access.environments.length > 0;
}

/** A method without metadata handles nothing. */
function isHandler(handler: object): boolean {
  return Reflect.getMetadataKeys(handler).length > 0;
}

function unreached(routes: readonly Route[]): string[] {
  const names = routesWithoutHandler(routes);
  return names.length === 0
    ? []
    : [
        `No guard runs on ${names.join(', ')}, because no decorator makes it a handler of requests: put guards, @Scopes and ` +
          '@ApiKeyAuth on controllers, and check keys in services yourself',
      ];
}
