import { type CanActivate, type ExecutionContext, Inject, Injectable, Logger } from '@nestjs/common';
import { ApiKeyRefusal } from './api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { missingScopes } from './credential/scope';
import { authenticationOf } from './request/authentication';
import { requestOf, setHeaders } from './request/http-exchange';
import { asksForScopes, type RouteAccess, routeAccess, scopesAskedFor } from './route-access';

/** Lets a request through whose key holds the scopes of `@Scopes` and `@AnyScope`. Stands after `ApiKeyGuard`. */
@Injectable()
export class ScopesGuard implements CanActivate {
  private readonly logger = new Logger(ScopesGuard.name);

  constructor(@Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions) {}

  canActivate(context: ExecutionContext): boolean {
    const access = routeAccess(context);
    if (access.isPublic || !asksForScopes(access)) return true;
    const refusal = this.refusalFor(context, access);
    if (!refusal) return true;
    setHeaders(context, refusal.headers(this.options.realm));
    throw refusal;
  }

  private refusalFor(context: ExecutionContext, access: RouteAccess): ApiKeyRefusal | null {
    const authentication = authenticationOf(requestOf(context));
    if (!authentication) return this.unauthenticated(context);
    const missing = missingScopes(authentication.apiKey.scopes, access);
    return missing.length === 0
      ? null
      : new ApiKeyRefusal('INSUFFICIENT_SCOPE', { missing, asked: scopesAskedFor(access) });
  }

  private unauthenticated(context: ExecutionContext): ApiKeyRefusal {
    const route = `${context.getClass().name}.${context.getHandler().name}`;
    this.logger.error(
      `${route} asks for scopes, but no ApiKeyGuard ran before ScopesGuard: put ApiKeyGuard first`,
    );
    return new ApiKeyRefusal('MISSING_API_KEY');
  }
}
