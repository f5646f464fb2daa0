import { type INestApplicationContext, Logger } from '@nestjs/common';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { mayAuthenticate } from './guard-class';
import { describeAccess } from './open-api-access';
import { METHODS, OpenApiRoutes, type OperationKey } from './open-api-routes';
import { type Response, withKeySchemes, withRefusals } from './open-api-schemes';
import { isOurs, scopesAskedFor } from './route-access';
import { type Route, RouteInventory } from './route-inventory';

/** The part of `@nestjs/swagger` that this library uses. */
interface Swagger {
  ApiBody(options: object): MethodDecorator;
  ApiOperation(options: object): MethodDecorator;
  ApiParam(options: object): MethodDecorator;
  ApiProperty(options: object): PropertyDecorator;
  ApiQuery(options: object): MethodDecorator;
  ApiResponse(options: object): MethodDecorator;
  ApiSecurity(name: string, scopes: string[]): ClassDecorator & MethodDecorator;
}

type Requirements = Readonly<Record<string, readonly string[]>>[];

/** The part of an OpenAPI document that this library reads and writes. */
interface OpenApiDocument {
  readonly paths: Record<string, object>;
  readonly security?: Requirements;
  components?: object;
}

interface Operation {
  description?: string;
  security?: Requirements;
  responses?: Record<string, Response>;
}

/**
 * Returns `@nestjs/swagger` if the application has it. The package is loaded when a decorator is
 * applied, never at import. `require` is called inside of `try`, because bundlers then accept that
 * the package is missing.
 */
export function optionalSwagger(): Swagger | null {
  try {
    return require('@nestjs/swagger');
  } catch {
    return null;
  }
}

/**
 * Adds to an OpenAPI document what a caller needs for each route: the two headers for a key, the
 * scopes of class and method together (an OpenAPI 3.1 list of roles), and the refusals. Routes are
 * found by method and path. An operation without a known route needs a key, and a warning names it.
 * @param app call this after `setGlobalPrefix`, `enableVersioning` and `useGlobalGuards`
 * @param document a result of `SwaggerModule.createDocument`; it is changed and returned
 * @example
 * documentApiKeys(app, SwaggerModule.createDocument(app, config));
 */
export function documentApiKeys<Document extends OpenApiDocument>(
  app: INestApplicationContext,
  document: Document,
): Document {
  const { headerName }: ResolvedApiKeyOptions = app.get(API_KEY_OPTIONS, { strict: false });
  const inventory = app.get(RouteInventory, { strict: false });
  document.components = withKeySchemes(document.components, headerName);
  const operations = operationsOf(document);
  const routesOf = app.get(OpenApiRoutes, { strict: false }).of([...operations.keys()]);
  const unknown: string[] = [];
  for (const [key, operation] of operations) {
    const routes = routesOf(key);
    const needingKey = routes.filter((route) => inventory.needsKey(route));
    if (needingKey.length > 0) requireKey(operation, needingKey);
    else if (routes.length > 0) describeOpen(operation, routes, inventory, document);
    else if (isOpenToAll(operation, document)) {
      requireKey(operation, []);
      unknown.push(key.replace(/^\S+/, (method) => method.toUpperCase()));
    }
  }
  warnOf(unknown);
  return document;
}

function operationsOf({ paths }: OpenApiDocument): Map<OperationKey, Operation> {
  const operations = new Map<OperationKey, Operation>();
  for (const [path, item] of Object.entries(paths))
    for (const [method, operation] of Object.entries(item))
      if (METHODS.has(method)) operations.set(`${method} ${path}`, operation);
  return operations;
}

/** If several routes share an operation, it names the scopes of all of them. */
function requireKey(operation: Operation, routes: readonly Route[]): void {
  const scopes = [...new Set(routes.flatMap(({ access }) => scopesAskedFor(access)))];
  operation.security = [{ bearer: scopes }, { apiKey: scopes }];
  operation.responses = withRefusals(operation.responses);
  const texts =
    routes.length > 0 ? routes.map(({ access }) => describeAccess(access)) : ['Needs an API key.'];
  operation.description = [...new Set([operation.description, ...texts])].filter(Boolean).join('\n\n');
}

/** Removes what a class says about keys. Keeps what the application says about other guards. */
function describeOpen(
  operation: Operation,
  routes: readonly Route[],
  inventory: RouteInventory,
  document: OpenApiDocument,
): void {
  const others = othersOf(operation.security);
  const isOpen = routes.every(
    (route) =>
      !inventory.guardsOf(route).some((guard) => mayAuthenticate(guard) && !isOurs(guard)) &&
      (route.access.isPublic || isOpenToAll({}, document)),
  );
  if (others.length > 0) operation.security = others;
  else if (isOpen) operation.security = [];
  else delete operation.security;
}

/** The requirements without those of `@ApiKeyAuth`, which always come together. */
function othersOf(declared: Requirements = []): Requirements {
  if (!declared.some((one) => 'apiKey' in one)) return declared;
  return declared.filter((one) => !('apiKey' in one || 'bearer' in one));
}

/** Whether a document says that an operation needs nothing. An empty requirement means that. */
function isOpenToAll({ security }: Operation, document: OpenApiDocument): boolean {
  const required = security ?? document.security ?? [];
  return required.length === 0 || required.some((one) => Object.keys(one).length === 0);
}

function warnOf(operations: readonly string[]): void {
  if (operations.length === 0) return;
  new Logger('documentApiKeys').warn(
    `documentApiKeys knows no route for ${operations.join(', ')}, so the OpenAPI document says that they need a key: ` +
      'set "security" of other operations after this call',
  );
}
