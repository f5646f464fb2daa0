import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { PresentedKeys } from './authentication/presented-keys';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './options/api-key.options';
import { type RouteAccess, RouteAccesses } from './routes/route-access';
import { RouteEnvironments } from './routes/route-environment';
import { NeedsKey } from './routes/scopes.decorator';
import { answer } from './transport/answer-refusal';
import { attachAuthentication, attachIfFirst, authenticationBy } from './transport/authenticated-request';
import { callerNow, callerOf, forbidStoring, headOf, requestOf } from './transport/http-exchange';

/**
 * Accepts a request if its API key is valid, and of an environment that the route accepts. Sets
 * `request.apiKey` and `request.user`.
 */
@Injectable()
@NeedsKey()
export class ApiKeyGuard implements CanActivate {
  private readonly routes = new RouteAccesses();

  constructor(
    private readonly keys: PresentedKeys,
    private readonly environments: RouteEnvironments,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /** Synchronous if the key and its user are cached. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const access = this.routes.of(context);
    if (access.isPublic) return true;
    const request = requestOf(context);
    const earlier = authenticationBy(this.options, request);
    if (earlier) return this.environments.admit(earlier.apiKey, access, context);
    forbidStoring(context);
    const known = this.keys.recall(headOf(request), callerOf(context));
    if (!known) return this.authenticate(context, access);
    attachAuthentication(request, known);
    return this.environments.admit(known.apiKey, access, context);
  }

  private async authenticate(context: ExecutionContext, access: RouteAccess): Promise<boolean> {
    const request = requestOf(context);
    const found = await this.keys
      .lookUp(headOf(request), callerNow(context))
      .catch((error) => answer(error, context, this.options.realm));
    attachIfFirst(request, found);
    return this.environments.admit(found.apiKey, access, context);
  }
}
