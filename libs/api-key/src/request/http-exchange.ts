import type { IncomingMessage } from 'node:http';
import type { ExecutionContext } from '@nestjs/common';

/** The parts of Express's and Fastify's request that we use; `raw` is Node's own where there is a wrapper. */
export type ApiKeyRequest = object & { readonly raw?: IncomingMessage };

interface HeaderWriter {
  header(name: string, value: string): unknown;
}

/**
 * The request that a context is about.
 * @throws Error where the context is not HTTP, for a guard that does not know its request must not let it through
 */
export function requestOf(context: ExecutionContext): ApiKeyRequest {
  const type = context.getType<string>();
  if (type === 'http') return context.switchToHttp().getRequest<ApiKeyRequest>();
  throw new Error(
    `nestjs-api-key guards HTTP routes only, and was asked to guard ${type}: remove the guard there`,
  );
}

/** Node's own request behind that of Express or Fastify. */
export function nodeRequest(request: ApiKeyRequest): IncomingMessage {
  return request.raw ?? (request as IncomingMessage);
}

/** Sets headers on the response that a context is about. */
export function setHeaders(context: ExecutionContext, headers: Readonly<Record<string, string>>): void {
  const response = context.switchToHttp().getResponse<HeaderWriter>();
  for (const [name, value] of Object.entries(headers)) response.header(name, value);
}
