import { Injectable } from '@nestjs/common';
import { ThrottlerGuard } from '@nestjs/throttler';
import { GlobalGuards } from '../routes/global-guards';
import { isGuardOf } from '../routes/guard-class';
import { type Route, RouteInventory } from '../routes/route-inventory';
import { ApiKeyThrottlerGuard } from './api-key-throttler.guard';
import { type RouteLimits, routeLimits } from './route-limits';

const MOST_NAMED = 10;

/** Finds the routes that require a key, but do not count the limits of the key. */
@Injectable()
export class UnlimitedRoutes {
  private found: readonly Route[] | null = null;

  constructor(
    private readonly inventory: RouteInventory,
    private readonly globals: GlobalGuards,
  ) {}

  /**
   * Names of the routes without `ApiKeyThrottlerGuard`. Routes with `@SkipThrottle()` are not
   * listed, because they have no limit on purpose.
   */
  get names(): string[] {
    return namesOf(this.routes());
  }

  /**
   * Names of the routes without `ApiKeyThrottlerGuard` whose own `@Throttle` has no effect either.
   */
  get namesWithOwnLimit(): string[] {
    return namesOf(
      this.routes().filter(
        (route) => limitsOf(route).limits.length > 0 && !this.hasGuard(route, ThrottlerGuard),
      ),
    );
  }

  /** Names of routes on which `ApiKeyThrottlerGuard` ignores a `@Throttle` without limit or ttl. */
  get namesWithHalfLimit(): string[] {
    return namesOf(
      this.inventory
        .controllerRoutes()
        .filter(
          (route) =>
            limitsOf(route).incomplete.length > 0 &&
            this.hasGuard(route, ApiKeyThrottlerGuard) &&
            !this.hasGuard(route, ThrottlerGuard),
        ),
    );
  }

  /** Returns whether any route has `ThrottlerGuard`, or a guard that extends it. */
  get useThrottlerGuard(): boolean {
    return this.inventory.controllerRoutes().some((route) => this.hasGuard(route, ThrottlerGuard));
  }

  /**
   * Returns the routes without `ApiKeyThrottlerGuard`. The list is empty without HTTP, because the
   * global guards of the server are then unknown.
   */
  private routes(): readonly Route[] {
    if (!this.globals.areFinal) return [];
    this.found ??= this.inventory
      .controllerRoutes()
      .filter(
        (route) =>
          this.inventory.needsKey(route) &&
          !this.hasGuard(route, ApiKeyThrottlerGuard) &&
          !limitsOf(route).isSkipped,
      );
    return this.found;
  }

  private hasGuard(route: Route, base: typeof ApiKeyThrottlerGuard | typeof ThrottlerGuard): boolean {
    return this.inventory.guardsOf(route).some((guard) => isGuardOf(guard, base));
  }
}

/**
 * Returns the warning for routes that count no limits.
 * @param reason what is not applied on these routes, as a sentence without full stop
 */
export function unlimitedWarning(names: readonly string[], reason: string): string {
  return (
    `${reason}, but nothing counts requests on ${listed(names)}: use @ApiKeyAuth, or add ApiKeyThrottlerGuard after ` +
    'ApiKeyGuard. @SkipThrottle() marks a route that is meant to have no limit'
  );
}

/** Lists at most ten names, and the number of the others. */
export function listed(names: readonly string[]): string {
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
  return names.slice(0, MOST_NAMED).join(', ') + more;
}

/** A controller of several modules has the same routes several times. */
function namesOf(routes: readonly Route[]): string[] {
  return [...new Set(routes.map(({ name }) => name))];
}

function limitsOf({ owner, handler }: Route): RouteLimits {
  return routeLimits({ getClass: () => owner, getHandler: () => handler }, owner.name);
}
