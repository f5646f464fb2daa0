import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, MODULE_PATH, PATH_METADATA, VERSION_METADATA } from '@nestjs/common/constants';
import { ApplicationConfig } from '@nestjs/core';
import { RoutePathFactory } from '@nestjs/core/router/route-path-factory';
import type { Route } from './route-inventory';

/** Where a request reaches a handler. */
export interface HttpRoute {
  /** Such as `GET`, or `ALL`. */
  readonly method: string;
  /** Path without global prefix and version, which the application sets outside of its modules. */
  readonly path: string;
}

/** What an application sets outside of its modules, and whether paths have its global prefix. */
export interface PathSettings {
  readonly application: ApplicationConfig;
  readonly hasPrefix: boolean;
}

/**
 * Returns the addresses of the handler of a controller, as Nest registers them. It has several if
 * a path or a version is a list. Without settings, the paths have no global prefix and no version.
 */
export function httpRoutesOf(
  route: Route,
  applicationId: string,
  { application, hasPrefix }: PathSettings = { application: new ApplicationConfig(), hasPrefix: false },
): HttpRoute[] {
  const { owner, handler } = route;
  const method: RequestMethod = Reflect.getMetadata(METHOD_METADATA, handler);
  const versioningOptions = application.getVersioning();
  const paths = new RoutePathFactory(application).create(
    {
      modulePath: modulePath(route, applicationId),
      ctrlPath: Reflect.getMetadata(PATH_METADATA, owner),
      methodPath: Reflect.getMetadata(PATH_METADATA, handler),
      controllerVersion: Reflect.getMetadata(VERSION_METADATA, owner) ?? versioningOptions?.defaultVersion,
      methodVersion: Reflect.getMetadata(VERSION_METADATA, handler),
      versioningOptions,
      globalPrefix: hasPrefix ? application.getGlobalPrefix() : '',
    },
    method,
  );
  return paths.map((path) => ({ method: String(RequestMethod[method]), path }));
}

/** `RouterModule` stores the path of a module for one application, else for all of them. */
function modulePath({ module }: Route, applicationId: string): string | undefined {
  if (!module) return undefined;
  return Reflect.getMetadata(MODULE_PATH + applicationId, module) ?? Reflect.getMetadata(MODULE_PATH, module);
}
