import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, MODULE_PATH, PATH_METADATA } from '@nestjs/common/constants';
import type { Route } from './route-inventory';

/** Where a request reaches a handler. */
export interface HttpRoute {
  /** Such as `GET`, or `ALL`. */
  readonly method: string;
  /** Path without global prefix and version, which the application sets outside of its modules. */
  readonly path: string;
}

/** Returns the addresses of the handler of a controller. It has several if a path is a list. */
export function httpRoutesOf(route: Route, applicationId: string): HttpRoute[] {
  const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, route.handler)];
  const ofModule = modulePath(route, applicationId);
  return pathsOn(route.owner).flatMap((ofClass) =>
    pathsOn(route.handler).map((ofMethod) => ({
      method: String(method),
      path: joined([ofModule, ofClass, ofMethod]),
    })),
  );
}

/** `RouterModule` stores the path of a module for one application, else for all of them. */
function modulePath({ module }: Route, applicationId: string): string | undefined {
  if (!module) return undefined;
  return Reflect.getMetadata(MODULE_PATH + applicationId, module) ?? Reflect.getMetadata(MODULE_PATH, module);
}

function pathsOn(target: object): string[] {
  return [Reflect.getMetadata(PATH_METADATA, target)].flat();
}

function joined(parts: readonly (string | undefined)[]): string {
  const names = parts.flatMap((part) => (part ?? '').split('/')).filter(Boolean);
  return `/${names.join('/')}`;
}
