import type { ExecutionContext } from '@nestjs/common';
import type { Acting } from '../model/acting';
import { authenticationOf } from './authenticated-request';
import { addressOf, requestIdOf, requestOf } from './http-exchange';

/**
 * For whom a request acts, for calls of `ApiKeyService` and their trail. If the request has a key,
 * the key acts.
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
