import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { PresentedKeys } from './authentication/presented-keys';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './options/api-key.options';
import { RouteAccesses } from './routes/route-access';
import { NeedsKey } from './routes/scopes.decorator';
import { answer } from './transport/answer-refusal';
import { attachAuthentication, attachIfFirst, authenticationBy } from './transport/authenticated-request';
import { callerNow, callerOf, forbidStoring, headOf, requestOf } from './transport/http-exchange';

/** Accepts a request if its API key is valid. Sets `request.apiKey` and `request.user`. */
@Injectable()
@NeedsKey()
export class ApiKeyGuard implements CanActivate {
  private readonly routes = new RouteAccesses();

  constructor(
    private readonly keys: PresentedKeys,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /** Synchronous if the key and its user are cached. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (this.routes.of(context).isPublic) return true;
    const request = requestOf(context);
    if (authenticationBy(this.options, request)) return true;
    forbidStoring(context);
    const known = this.keys.recall(headOf(request), callerOf(context));
    if (!known) return this.authenticate(context);
    attachAuthentication(request, known);
    return true;
  }

  private async authenticate(context: ExecutionContext): Promise<boolean> {
    const request = requestOf(context);
    const found = await this.keys
      .lookUp(headOf(request), callerNow(context))
      .catch((error) => answer(error, context, this.options.realm));
    attachIfFirst(request, found);
    return true;
  }
}
