import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { RequestTrail } from '../audit/request-trail';
import { missingScopes } from '../credential/scope';
import { ApiKeyRefusal } from '../model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { refuse } from '../transport/answer-refusal';
import { authenticationBy } from '../transport/authenticated-request';
import { requestOf } from '../transport/http-exchange';
import { type RouteAccess, RouteAccesses, scopesAskedFor } from './route-access';
import { wrongEnvironment } from './route-environment';
import { NeedsKey } from './scopes.decorator';
import { UnauthenticatedRoutes } from './unauthenticated-routes';

/**
 * Accepts a request if its key has the scopes of `@Scopes` and `@AnyScope`, and is of an
 * environment that `@Environments` accepts. Put it after `ApiKeyGuard`. If `ApiKeyGuard` did not
 * accept the request, this guard refuses it, even if the route requires no scope.
 */
@Injectable()
@NeedsKey()
export class ScopesGuard implements CanActivate {
  private readonly routes = new RouteAccesses();
  private readonly unauthenticated = new UnauthenticatedRoutes(ScopesGuard.name);

  constructor(
    private readonly trail: RequestTrail,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    const access = this.routes.of(context);
    if (access.isPublic) return true;
    const refusal = this.refusalFor(context, access);
    return refusal ? refuse(refusal, context, this.options.realm, this.trail) : true;
  }

  private refusalFor(context: ExecutionContext, access: RouteAccess): ApiKeyRefusal | null {
    const authentication = authenticationBy(this.options, requestOf(context));
    if (!authentication) {
      this.unauthenticated.report(context);
      return new ApiKeyRefusal('MISSING_API_KEY');
    }
    const { apiKey } = authentication;
    const outside = wrongEnvironment(access, apiKey);
    if (outside) return outside;
    const missing = missingScopes(apiKey.scopes, access);
    if (missing.length === 0) return null;
    const refused = { reason: 'scope', apiKey, masked: apiKey.masked } as const;
    return new ApiKeyRefusal('INSUFFICIENT_SCOPE', { missing, asked: scopesAskedFor(access), refused });
  }
}
