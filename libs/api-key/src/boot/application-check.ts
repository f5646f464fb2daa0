import { Scope } from '@nestjs/common';
import type { ModuleRef, ModulesContainer } from '@nestjs/core';
import { ApiKeyGuard } from '../api-key.guard';

/**
 * Checks what no provider can check, because Nest calls no hook of a request-scoped provider.
 * @param core the module that has the providers
 * @throws Error if the module is imported twice, because a key of one import would be valid for the
 * other; or if an injected provider is request-scoped
 */
export function requireUsableModule(core: object, modules: ModulesContainer, moduleRef: ModuleRef): void {
  const imported = [...modules.values()].filter(({ metatype }) => metatype === core);
  if (imported.length > 1)
    throw new Error(
      'ApiKeyModule: it is imported twice with different options. Import it once, in the root module.',
    );
  if (moduleRef.introspect(ApiKeyGuard).scope !== Scope.DEFAULT)
    throw new Error(
      'ApiKeyModule: a provider in "inject" depends on a request-scoped provider. Inject only providers of the default scope; ' +
        'loadUser can resolve request-scoped providers itself.',
    );
}
