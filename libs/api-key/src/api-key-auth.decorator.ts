import { applyDecorators, UseGuards } from '@nestjs/common';
import { ApiKeyGuard } from './api-key.guard';
import { ApiKeyThrottlerGuard } from './api-key-throttler.guard';
import { optionalSwagger } from './open-api';
import type { Scope } from './scope-catalogue';
import { NeedsKey, Scopes } from './scopes.decorator';
import { ScopesGuard } from './scopes.guard';

/**
 * Guards a class or a route, also one of a `@Public` class: a valid key is needed that has not used up its limits, and all of
 * these scopes, if any.
 */
export function ApiKeyAuth(...scopes: Scope[]): ClassDecorator & MethodDecorator {
  const [first, ...rest] = scopes;
  const demand = scopes.length === 0 ? NeedsKey() : Scopes(first as Scope, ...rest);
  const swagger = optionalSwagger();
  const marks = swagger ? [swagger.ApiSecurity('bearer', scopes), swagger.ApiSecurity('apiKey', scopes)] : [];
  // First ours, whose error says what is wrong if it stands on what is no method.
  return applyDecorators(demand, UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard), ...marks);
}
