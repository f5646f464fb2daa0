import { applyDecorators, UseGuards } from '@nestjs/common';
import { ApiKeyGuard } from './api-key.guard';
import type { Scope } from './scope-catalogue';
import { Scopes } from './scopes.decorator';
import { ScopesGuard } from './scopes.guard';

/** Guards a class or a route: a valid key is needed, and all of these scopes, if any. */
export function ApiKeyAuth(...scopes: Scope[]): ClassDecorator & MethodDecorator {
  const [first, ...rest] = scopes;
  const guards = UseGuards(ApiKeyGuard, ScopesGuard);
  return first === undefined ? applyDecorators(guards) : applyDecorators(guards, Scopes(first, ...rest));
}
