import { Injectable, RequestMethod } from '@nestjs/common';
import { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { LegacyRouteConverter } from '@nestjs/core/router/legacy-route-converter';
import { httpRoutesOf } from './http-routes';
import { type Route, RouteInventory } from './route-inventory';

/** The methods that an operation can have in a document, of OpenAPI and of Nest. */
export const METHODS: ReadonlySet<string> = new Set([
  'trace',
  'query',
  ...Object.values(RequestMethod).flatMap((name) => (typeof name === 'string' ? name.toLowerCase() : [])),
]);

/** The key of an operation: method and path, such as `get /orders/{id}`. */
export type OperationKey = `${string} ${string}`;

/** Routes by the operation that an OpenAPI document has for them. */
export type RoutesByOperation = (key: OperationKey) => readonly Route[];

/**
 * Finds the routes of the operations of a document by method and path. Names of classes and ids of
 * operations are not unique, and applications change them.
 */
@Injectable()
export class OpenApiRoutes {
  constructor(
    private readonly inventory: RouteInventory,
    private readonly modules: ModulesContainer,
    private readonly application: ApplicationConfig,
  ) {}

  /**
   * Returns the routes of each operation. An operation has several if they differ in what a
   * document does not show: host, or a version in a header.
   * @param keys all operations of the document. They show whether its paths have the global
   *   prefix, which the option `ignoreGlobalPrefix` of `SwaggerModule.createDocument` removes
   */
  of(keys: readonly OperationKey[]): RoutesByOperation {
    const [whole, bare] = [this.table(true), this.table(false)];
    const missedBy = (table: RoutesByOperation) => keys.filter((key) => table(key).length === 0).length;
    return missedBy(bare) < missedBy(whole) ? bare : whole;
  }

  private table(hasPrefix: boolean): RoutesByOperation {
    const settings = { application: this.application, hasPrefix };
    const routes = new Map<OperationKey, Route[]>();
    for (const route of this.inventory.controllerRoutes())
      for (const { method, path } of httpRoutesOf(route, this.modules.applicationId, settings)) {
        const key: OperationKey = `${method.toLowerCase()} ${openApiPath(path)}`;
        routes.set(key, [...(routes.get(key) ?? []), route]);
      }
    return (key) => [
      ...(routes.get(key) ?? []),
      ...(routes.get(`all ${key.slice(key.indexOf(' ') + 1)}`) ?? []),
    ];
  }
}

/** An escaped character, a parameter or wildcard of `path-to-regexp` 8, or a brace of a group. */
const PARTS = /\\(.)|[:*](?:"((?:\\.|[^"\\])*)"|([$\p{ID_Continue}\u200c\u200d]+))|[{}]/gu;

/** Writes a path of Nest as `@nestjs/swagger` writes it: `/orders/:id` becomes `/orders/{id}`. */
function openApiPath(path: string): string {
  return LegacyRouteConverter.tryConvert(path, { logs: false })
    .replace(/::|\[:\]/g, '\\:') // a colon, in the syntax of Fastify
    .replace(/\(\^[^)]+\)/g, '') // a regular expression for a parameter, in the syntax of Fastify
    .replace(PARTS, (_, escaped, quoted, name) => escaped ?? inBraces(quoted ?? name));
}

function inBraces(name: string | undefined): string {
  return name === undefined ? '' : `{${name}}`;
}
