import { applyDecorators, type Type } from '@nestjs/common';
import { optionalSwagger } from '../index';
import { ApiKeyManagementError, InvalidApiKeyRequest } from './answers';
import { documentedFields } from './documented';

/** The body of 403 is `ApiKeyRefusal`, which `documentApiKeys` adds. */
const ERRORS = {
  400: {
    type: InvalidApiKeyRequest,
    description:
      'INVALID_REQUEST: body or query is not valid, or option `policy` forbids the expiry (`rule`)',
  },
  403: { description: 'EXCEEDS_API_KEY: the key of the request may not make this change' },
  404: { type: ApiKeyManagementError, description: 'NOT_FOUND: this owner has no such key' },
  409: {
    type: ApiKeyManagementError,
    description:
      'CONFLICT: the state of a key forbids the change. TOO_MANY_KEYS: the owner has the maximum of keys (`rule`)',
  },
};

/**
 * Adds a summary and the answers of a route to the OpenAPI document, if the application has
 * `@nestjs/swagger`.
 * @param body of the answer to a success; null: none
 */
export function marked(
  summary: string,
  status: number,
  body: Type | null,
  ...errors: (keyof typeof ERRORS)[]
): MethodDecorator {
  const swagger = optionalSwagger();
  if (!swagger) return () => {};
  return applyDecorators(
    swagger.ApiOperation({ summary }),
    swagger.ApiResponse({ status, ...(body && { type: body }) }),
    ...errors.map((code) => swagger.ApiResponse({ status: code, ...ERRORS[code] })),
  );
}

/** What a route takes: the id of a key in its path, a body, a query. */
interface Taken {
  readonly id?: true;
  readonly body?: Type;
  readonly query?: Type;
}

/** Adds what a route takes to the OpenAPI document, if the application has `@nestjs/swagger`. */
export function takes({ id, body, query }: Taken): MethodDecorator {
  const swagger = optionalSwagger();
  if (!swagger) return () => {};
  return applyDecorators(
    ...(id ? [swagger.ApiParam({ name: 'id', schema: { type: 'string' } })] : []),
    ...Object.entries(query ? documentedFields(query) : {}).map(([name, { required, ...schema }]) =>
      swagger.ApiQuery({ name, required: required === true, schema }),
    ),
    ...(body ? [swagger.ApiBody({ type: body })] : []),
  );
}
