import { applyDecorators, UseGuards } from '@nestjs/common';
import { ApiKeyGuard } from './api-key.guard';
import type { Scope } from './model/scope-catalogue';
import { ApiKeyThrottlerGuard } from './rate-limit/api-key-throttler.guard';
import { optionalSwagger } from './routes/open-api';
import { NeedsKey, Scopes } from './routes/scopes.decorator';
import { ScopesGuard } from './routes/scopes.guard';

/**
 * Guards a class or a route, also a route of a `@Public` class. A request needs a valid key that is
 * within its limits. The key must have all of the given scopes.
 */
export function ApiKeyAuth(...scopes: Scope[]): ClassDecorator & MethodDecorator {
  const [first, ...rest] = scopes;
  const demand = scopes.length === 0 ? NeedsKey() : Scopes(first as Scope, ...rest);
  const swagger = optionalSwagger();
  const marks = swagger ? [swagger.ApiSecurity('bearer', scopes), swagger.ApiSecurity('apiKey', scopes)] : [];
  // `demand` is first, because it reports a decorator that is not on a class or method.
  return applyDecorators(demand, UseGuards(ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard), ...marks);
}
