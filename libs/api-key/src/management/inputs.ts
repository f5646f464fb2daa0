import type { Type, ValidationPipe } from '@nestjs/common';
import { managementPipe } from './management.pipe';

/** The part of a request of Express or Fastify that the endpoints read. */
export interface ManagementRequest {
  readonly body?: unknown;
  readonly query: unknown;
  readonly params: { readonly id: string };
}

/**
 * Reads and checks bodies and queries. The handlers take the whole request, because pipes of the
 * application would change or refuse the values of `@Body`, `@Query` and `@Param` first.
 */
export class ManagementInputs {
  private readonly pipe: ValidationPipe = managementPipe();

  /** @throws InvalidRequest if the body is not valid */
  bodyOf<Body extends object>(type: Type<Body>, { body }: ManagementRequest): Promise<Body> {
    return this.pipe.transform(body, { type: 'body', metatype: type });
  }

  /** @throws InvalidRequest if the query is not valid */
  queryOf<Query extends object>(type: Type<Query>, { query }: ManagementRequest): Promise<Query> {
    return this.pipe.transform(query, { type: 'query', metatype: type });
  }
}
