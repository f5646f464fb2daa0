import {
  type CanActivate,
  type DynamicModule,
  type ExecutionContext,
  Module,
  type Type,
} from '@nestjs/common';
import { type Acting, ApiKeyRefusal, actingOf, type Scope } from '../index';
import { managementController } from './management.controller';

/** How keys are managed over REST. */
export interface ApiKeyManagementOptions {
  /** Path of the routes. Default `api-keys`. */
  path?: string;
  /**
   * Guards of all routes, in order, such as `[ApiKeyGuard, ScopesGuard]`; `'open'` where nothing guards them: whoever
   * reaches them then sees and changes the keys of all owners.
   */
  guards: readonly (Type<CanActivate> | CanActivate)[] | 'open';
  /**
   * Scopes that seeing and changing keys take. Null: none, as where the guards are not ours.
   * Default `api-keys:read` and `api-keys:write`; none where `guards` is `'open'`.
   */
  scopes?: { readonly read: Scope; readonly write: Scope } | null;
  /** On whose behalf a request acts. Default: that of its API key; a request without one is refused. */
  acting?: (context: ExecutionContext) => Acting;
}

const DEFAULT_SCOPES = { read: 'api-keys:read' as Scope, write: 'api-keys:write' as Scope };

/** REST endpoints for keys, opt-in. `ApiKeyModule` must be imported as well. */
@Module({})
export class ApiKeyManagementModule {
  /** @throws Error where nothing guards the routes and `'open'` does not say so */
  static forRoot(options: ApiKeyManagementOptions): DynamicModule {
    const guards = options?.guards;
    const open = guards === 'open';
    if (!open && !(Array.isArray(guards) && guards.length > 0))
      throw new Error(
        'ApiKeyManagementModule: name the "guards" of its routes, such as [ApiKeyGuard, ScopesGuard], or say guards: \'open\'',
      );
    const { path = 'api-keys', scopes = open ? null : DEFAULT_SCOPES, acting } = options;
    const actor = acting ?? (open ? actingOf : actingKeyOf);
    return {
      module: ApiKeyManagementModule,
      controllers: [managementController({ path, guards: open ? [] : guards, scopes, acting: actor })],
    };
  }
}

/** A request that no key came with acts for nobody, and must not act for all. */
function actingKeyOf(context: ExecutionContext): Acting {
  const acting = actingOf(context);
  if (!acting.apiKey) throw new ApiKeyRefusal('MISSING_API_KEY');
  return acting;
}
