import { Injectable } from '@nestjs/common';
import { CONTROLLER_WATERMARK, GUARDS_METADATA, PATH_METADATA } from '@nestjs/common/constants';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { RouteHandler, RouteOwner } from '../transport/route-method';
import { GlobalGuards } from './global-guards';
import { asksForScopes, guardsOn, hasOurs, isGuarded, type RouteAccess, routeAccess } from './route-access';
import { accessDeclaredByName, declaredAccess } from './scopes.decorator';

/** A handler that a request or message can reach. */
export interface Route {
  /** Class and method, such as `OrdersController.list`. */
  readonly name: string;
  readonly owner: RouteOwner;
  /** The class of the module that has the controller or provider. */
  readonly module: object | undefined;
  readonly method: string;
  readonly handler: RouteHandler;
  readonly access: RouteAccess;
  /** Whether it is a method of a controller without a path, or handles messages of a gateway. */
  readonly isMessage: boolean;
  /**
   * The controller, on which Nest calls the method; undefined if it is created for each request.
   */
  readonly instance: object | undefined;
}

/**
 * A method of a controller or provider. Most are no routes, so the access, which costs most, is not
 * computed for all.
 */
type Method = Omit<Route, 'access'>;

/** Every route of the application, and its guards. */
@Injectable()
export class RouteInventory {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly globals: GlobalGuards,
  ) {}

  /** The routes of controllers, and methods of providers that have or inherit guards or access. */
  routes(): Route[] {
    const controllers = this.methodsOfAll(this.discovery.getControllers());
    const reached = controllers.filter((method) => isHttpRoute(method) || isGuardedMessage(method));
    return [...reached.map(withAccess), ...this.guardedProviders()];
  }

  /** Methods of providers that have or inherit guards or access: gateways, resolvers, services. */
  guardedProviders(): Route[] {
    const guarded = this.methodsOfAll(this.discovery.getProviders()).filter(
      ({ owner, method, handler }) =>
        Reflect.hasMetadata(GUARDS_METADATA, owner) ||
        (asksOnClass(owner) && Reflect.getMetadataKeys(handler).length > 0) ||
        isGuarded(handler) ||
        accessDeclaredByName(owner.prototype, method),
    );
    return guarded.map(withAccess);
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
    return this.methodsOfAll(this.discovery.getControllers()).filter(isHttpRoute).map(withAccess);
  }

  /** Whether the class or the method has a decorator or guard of this library. */
  declaresAccess({ owner, handler }: Method): boolean {
    return [owner, handler].some(declares);
  }

  /** The guards of a route, in the order in which Nest runs them. */
  guardsOf(route: Route): unknown[] {
    return this.guardLevels(route).flat();
  }

  /**
   * The guards of the application, of the class and of the method, in this order. Nest does not run
   * guards of the application for messages of a gateway, or of a microservice in the same process.
   */
  guardLevels({ owner, handler, isMessage }: Route): readonly unknown[][] {
    return [isMessage ? [] : this.globals.all, guardsOn(owner), guardsOn(handler)];
  }

  /** Whether a request without a valid key is refused on this route. */
  needsKey(route: Route): boolean {
    return !route.access.isPublic && hasOurs(this.guardsOf(route));
  }

  private methodsOfAll(wrappers: readonly Wrapper[]): Method[] {
    return wrappers.flatMap((wrapper) => this.methodsOf(wrapper));
  }

  private methodsOf(wrapper: Wrapper): Method[] {
    const { metatype } = wrapper;
    if (typeof metatype !== 'function' || !metatype.prototype) return [];
    const { prototype } = metatype;
    const isController = Reflect.hasMetadata(CONTROLLER_WATERMARK, metatype);
    return this.scanner.getAllMethodNames(prototype).map((method) => ({
      name: `${metatype.name}.${method}`,
      owner: metatype as Route['owner'],
      module: wrapper.host?.metatype,
      method,
      handler: prototype[method],
      isMessage: isController
        ? !Reflect.hasMetadata(PATH_METADATA, prototype[method])
        : Reflect.hasMetadata(GATEWAY_MESSAGE, prototype[method]),
      instance: wrapper.isDependencyTreeStatic() ? (wrapper.instance as object | undefined) : undefined,
    }));
  }
}

/** `MESSAGE_MAPPING_METADATA` of `@nestjs/websockets`. */
const GATEWAY_MESSAGE = 'websockets:message_mapping';
/** `PATTERN_METADATA` of `@nestjs/microservices`, by which Nest finds handlers of messages. */
const MESSAGE_PATTERN = 'microservices:pattern';

/** A method of a controller without path and pattern is called by others, without guards. */
function isGuardedMessage({ owner, handler }: Method): boolean {
  return declares(handler) || (Reflect.hasMetadata(MESSAGE_PATTERN, handler) && declares(owner));
}

/** Whether a class has scopes or environments. The guards of this library only need a key. */
function asksOnClass(owner: object): boolean {
  const access = declaredAccess(owner);
  return asksForScopes(access) || access.environments.length > 0;
}

function declares(target: object): boolean {
  return declaredAccess(target) !== declaredAccess(Object) || isGuarded(target);
}

function withAccess(method: Method): Route {
  const { owner, handler } = method;
  return { ...method, access: routeAccess({ getClass: () => owner, getHandler: () => handler }) };
}

function isHttpRoute({ handler }: Method): boolean {
  return Reflect.hasMetadata(PATH_METADATA, handler);
}

type Wrapper = ReturnType<DiscoveryService['getControllers']>[number];
