import type { ExecutionContext } from '@nestjs/common';
import type { Acting } from '../model/acting';
import { authenticationOf } from './authenticated-request';
import { addressOf, requestIdOf, requestOf } from './http-exchange';

/** On whose behalf a request acts: that of its key, where it has one. For calls of `ApiKeyService` and their trail. */
export function actingOf(context: ExecutionContext): Acting {
  const request = requestOf(context);
  const apiKey = authenticationOf(request)?.apiKey;
  return {
    ...(apiKey && { apiKey }),
    address: addressOf(request),
    requestId: requestIdOf(request),
  };
}
