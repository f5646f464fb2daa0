import type { INestApplicationContext } from '@nestjs/common';
import { scopesAskedFor } from './route-access';
import { RouteInventory } from './route-inventory';

/** The part of `@nestjs/swagger` that this library uses. */
interface Swagger {
  ApiOperation(options: object): MethodDecorator;
  ApiProperty(options: object): PropertyDecorator;
  ApiSecurity(name: string, scopes: string[]): ClassDecorator & MethodDecorator;
}

/** The part of an OpenAPI document that this library writes. */
interface OpenApiDocument {
  readonly paths: Record<string, object>;
  components?: object;
}

interface Operation {
  readonly operationId?: string;
  security?: object[];
  responses?: Record<string, object>;
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

const REFUSED: Readonly<Record<string, string>> = {
  401: 'MISSING_API_KEY: no API key was sent. INVALID_API_KEY: the API key is not valid, or its header was sent twice',
  403: 'INSUFFICIENT_SCOPE, WRONG_ENVIRONMENT, HTTPS_REQUIRED or IP_NOT_ALLOWED',
  429: 'RATE_LIMITED or QUOTA_EXCEEDED: try again after Retry-After',
  503: 'KEY_STORE_UNAVAILABLE: try again after Retry-After',
};

/**
 * Returns `@nestjs/swagger` if the application has it. The package is loaded when a decorator is
 * applied, never at import.
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
 * scopes of class and method together (an OpenAPI 3.1 list of roles), and the body of refusals.
 * Public routes need no key.
 * @param document a result of `SwaggerModule.createDocument` with default operation ids; it is
 *   changed and returned
 */
export function documentApiKeys<Document extends OpenApiDocument>(
  app: INestApplicationContext,
  document: Document,
  headerName = 'X-API-Key',
): Document {
  document.components = withSchemes(document.components, headerName);
  const inventory = app.get(RouteInventory, { strict: false });
  const routes = new Map(
    inventory.controllerRoutes().map((route) => [`${route.owner.name}_${route.method}`, route]),
  );
  for (const operation of operationsOf(document)) {
    const route = routes.get(operation.operationId ?? '');
    if (!route) continue;
    if (inventory.needsKey(route)) describe(operation, scopesAskedFor(route.access));
    else operation.security = [];
  }
  return document;
}

function operationsOf({ paths }: OpenApiDocument): Operation[] {
  return Object.values(paths).flatMap((path) =>
    Object.entries(path)
      .filter(([method]) => METHODS.includes(method))
      .map(([, operation]) => operation as Operation),
  );
}

function describe(operation: Operation, scopes: string[]): void {
  operation.security = [{ bearer: scopes }, { apiKey: scopes }];
  const content = { 'application/json': { schema: { $ref: '#/components/schemas/ApiKeyRefusal' } } };
  for (const [status, description] of Object.entries(REFUSED))
    operation.responses = { [status]: { description, content }, ...operation.responses };
}

function withSchemes(components: object = {}, headerName: string): object {
  const { securitySchemes = {}, schemas = {} } = components as { securitySchemes?: object; schemas?: object };
  return {
    ...components,
    securitySchemes: {
      ...securitySchemes,
      bearer: {
        type: 'http',
        scheme: 'bearer',
        description: `Authorization: Bearer <API key>. It comes before ${headerName}.`,
      },
      apiKey: {
        type: 'apiKey',
        in: 'header',
        name: headerName,
        description: 'Read only if Authorization has no Bearer credential, or an empty one.',
      },
    },
    schemas: {
      ...schemas,
      ApiKeyRefusal: {
        type: 'object',
        required: ['statusCode', 'error', 'message'],
        properties: {
          statusCode: { type: 'integer' },
          error: { type: 'string' },
          message: { type: 'string' },
          missing: {
            type: 'array',
            items: { type: 'string' },
            description: 'INSUFFICIENT_SCOPE: the scopes that the key lacks',
          },
        },
      },
    },
  };
}
