import {
  type CanActivate,
  type DynamicModule,
  type ExecutionContext,
  Module,
  type Type,
} from '@nestjs/common';
import { type Acting, ApiKeyRefusal, actingOf, type Scope } from '../index';
import { managementController } from './management.controller';
import type { ActingOfRequest } from './request-actors';

/** Options of the REST endpoints for keys. */
export interface ApiKeyManagementOptions {
  /** Path of the routes. Default `api-keys`. */
  path?: string;
  /**
   * Guards of all routes, in order, such as `[ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard]`.
   * `'open'` means no guards: each caller that reaches the routes can read and change the keys of
   * all owners.
   */
  guards: readonly (Type<CanActivate> | CanActivate)[] | 'open';
  /**
   * Scopes that a caller needs to read and to change keys. Null means no scopes, for example if you
   * use guards of your own. Default `api-keys:read` and `api-keys:write`; null if `guards` is
   * `'open'`.
   */
  scopes?: { readonly read: Scope; readonly write: Scope } | null;
  /**
   * Returns on whose behalf a request acts, or a promise of it. Default: on behalf of its API key.
   * A request without a key is then refused, unless `guards` is `'open'`. A result with `actor`,
   * and without `userId` and `apiKey`, is an administrator, who sees the keys of all owners and
   * names the owner of a new key. Return this only if your guard has checked that the caller is
   * one. A result that names nobody fails the request with 500.
   * @example acting: () => ({ actor: { type: 'user', id: null } })
   */
  acting?: ActingOfRequest;
}

const DEFAULT_SCOPES = { read: 'api-keys:read' as Scope, write: 'api-keys:write' as Scope };

/** Opt-in REST endpoints for keys. Import `ApiKeyModule` as well. */
@Module({})
export class ApiKeyManagementModule {
  /** @throws Error if `guards` is missing or empty. Use `'open'` for routes without guards */
  static forRoot(options: ApiKeyManagementOptions): DynamicModule {
    const guards = options?.guards;
    const open = guards === 'open';
    if (!open && !(Array.isArray(guards) && guards.length > 0))
      throw new Error(
        'ApiKeyManagementModule: set the option "guards", such as guards: [ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard], or guards: \'open\'',
      );
    const { path = 'api-keys', scopes = open ? null : DEFAULT_SCOPES, acting } = options;
    const actor = acting ?? (open ? actingOf : actingKeyOf);
    return {
      module: ApiKeyManagementModule,
      controllers: [
        managementController({
          path,
          guards: open ? [] : guards,
          scopes,
          acting: actor,
          hasAdministrators: acting !== undefined,
        }),
      ],
    };
  }
}

/**
 * Refuses a request without a key, because such a request could otherwise act on the keys of all
 * owners.
 */
function actingKeyOf(context: ExecutionContext): Acting {
  const acting = actingOf(context);
  if (!acting.apiKey) throw new ApiKeyRefusal('MISSING_API_KEY');
  return acting;
}
