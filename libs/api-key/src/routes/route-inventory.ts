import { Injectable } from '@nestjs/common';
import { GUARDS_METADATA, PATH_METADATA } from '@nestjs/common/constants';
import { ApplicationConfig, DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { RouteOwner } from '../transport/route-method';
import { classOf, guardsOn, isGuarded, type RouteAccess, routeAccess } from './route-access';
import { accessDeclaredByName, declaredAccess } from './scopes.decorator';

/** A handler that a request or message can reach. */
export interface Route {
  /** Class and method, such as `OrdersController.list`. */
  readonly name: string;
  readonly owner: RouteOwner;
  /** The class of the module that has the controller or provider. */
  readonly module: object | undefined;
  readonly method: string;
  readonly handler: object;
  readonly access: RouteAccess;
  /**
   * The controller, on which Nest calls the method; undefined if it is created for each request.
   */
  readonly instance: object | undefined;
}

/** Every route of the application, and its guards. */
@Injectable()
export class RouteInventory {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly application: ApplicationConfig,
  ) {}

  routes(): Route[] {
    const providers = this.discovery.getProviders().flatMap((wrapper) => this.methodsOf(wrapper));
    return [
      ...this.controllerRoutes(),
      ...providers.filter(
        ({ owner, method }) =>
          Reflect.hasMetadata(GUARDS_METADATA, owner) || accessDeclaredByName(owner.prototype, method),
      ),
    ];
  }

  /**
   * A name for each class that requests can reach, by prototype, because a Proxy of the class has
   * the same prototype. If several classes have the same name, all but the first get their number
   * added. The order is that of module imports, so that all instances of one build use the same
   * names.
   */
  classNames(): ReadonlyMap<object, string> {
    const wrappers = [...this.discovery.getControllers(), ...this.discovery.getProviders()];
    const classes = new Set(
      wrappers.flatMap(({ metatype }) =>
        typeof metatype === 'function' && metatype.prototype ? [metatype] : [],
      ),
    );
    const sharing = new Map<string, number>();
    return new Map(
      [...classes].map((one) => {
        const place = (sharing.get(one.name) ?? 0) + 1;
        sharing.set(one.name, place);
        return [one.prototype, place === 1 ? one.name : `${one.name}#${place}`];
      }),
    );
  }

  /** The routes of HTTP controllers. */
  controllerRoutes(): Route[] {
    return this.discovery
      .getControllers()
      .flatMap((wrapper) => this.methodsOf(wrapper))
      .filter(({ handler }) => Reflect.hasMetadata(PATH_METADATA, handler));
  }

  /** Whether the class or the method has a decorator or guard of this library. */
  declaresAccess({ owner, handler }: Route): boolean {
    return [owner, handler].some(
      (target) => declaredAccess(target) !== declaredAccess(Object) || isGuarded(target),
    );
  }

  guardsOf({ owner, handler }: Route): unknown[] {
    return [
      ...this.application.getGlobalGuards(),
      ...this.application.getGlobalRequestGuards().map(({ metatype }) => metatype),
      ...guardsOn(owner),
      ...guardsOn(handler),
    ];
  }

  /** Whether a request without a valid key is refused on this route. */
  needsKey(route: Route): boolean {
    return (
      !route.access.isPublic && this.guardsOf(route).some((guard) => declaredAccess(classOf(guard)).needsKey)
    );
  }

  private methodsOf(wrapper: Wrapper): Route[] {
    const { metatype } = wrapper;
    if (typeof metatype !== 'function' || !metatype.prototype) return [];
    const { prototype } = metatype;
    return this.scanner.getAllMethodNames(prototype).map((method) => ({
      name: `${metatype.name}.${method}`,
      owner: metatype as Route['owner'],
      module: wrapper.host?.metatype,
      method,
      handler: prototype[method],
      access: routeAccess({ getClass: () => metatype, getHandler: () => prototype[method] }),
      instance: wrapper.isDependencyTreeStatic() ? (wrapper.instance as object | undefined) : undefined,
    }));
  }
}

type Wrapper = ReturnType<DiscoveryService['getControllers']>[number];
