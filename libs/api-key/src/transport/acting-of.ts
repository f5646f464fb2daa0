import type { ExecutionContext } from '@nestjs/common';
import type { Acting } from '../model/acting';
import { authenticationOf } from './authenticated-request';
import { addressOf, requestIdOf, requestOf } from './http-exchange';

/**
 * Returns the principal of a request, for calls of `ApiKeyService` and their audit trail. If the
 * request has a key, the key is the principal.
 */
export function actingOf(context: ExecutionContext): Acting {
  const request = requestOf(context);
  const apiKey = authenticationOf(request)?.apiKey;
  return {
    ...(apiKey && { apiKey }),
    address: addressOf(request),
    requestId: requestIdOf(request),
  };
}
