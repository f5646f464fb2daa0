import type { ExecutionContext } from '@nestjs/common';
import { ApiKeyRefusal } from './api-key.errors';
import type { RequestTrail } from './audit/request-trail';
import { callerOf, setHeaders } from './request/http-exchange';

/**
 * Refuses a request: sets the headers that belong to the refusal and tells the trail.
 * @throws the error that is given, always
 */
export function refuse(error: unknown, context: ExecutionContext, realm: string, trail: RequestTrail): never {
  if (error instanceof ApiKeyRefusal) {
    setHeaders(context, error.headers(realm));
    if (error.refused) trail.refused(error.refused, callerOf(context));
  }
  throw error;
}
