import { applyDecorators, UseGuards } from '@nestjs/common';
import { ApiKeyGuard } from './api-key.guard';
import type { Scope } from './model/scope-catalogue';
import { ApiKeyThrottlerGuard } from './rate-limit/api-key-throttler.guard';
import { optionalSwagger } from './routes/open-api';
import { NeedsKey, Scopes } from './routes/scopes.decorator';
import { ScopesGuard } from './routes/scopes.guard';

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
