import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { RequestTrail } from './audit/request-trail';
import { ApiKeyAuthenticator } from './authentication/api-key.authenticator';
import { PlaintextKeys } from './authentication/plaintext-keys';
import type { ApiKey } from './model/api-key.entity';
import { ApiKeyRefusal } from './model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './options/api-key.options';
import { type RouteAccess, RouteAccesses } from './routes/route-access';
import { wrongEnvironment } from './routes/route-environment';
import { NeedsKey } from './routes/scopes.decorator';
import { answer, refuse } from './transport/answer-refusal';
import {
  type Authentication,
  attachAuthentication,
  attachIfFirst,
  authenticationBy,
} from './transport/authenticated-request';
import { callerNow, callerOf, headOf, requestOf } from './transport/http-exchange';
import { type PresentedCredential, presentedCredential, type RequestHead } from './transport/request-head';
import { SecureTransport } from './transport/secure-transport';

/**
 * Accepts a request if its API key is valid, and of an environment that the route accepts. Sets
 * `request.apiKey` and `request.user`.
 */
@Injectable()
@NeedsKey()
export class ApiKeyGuard implements CanActivate {
  private readonly routes = new RouteAccesses();

  constructor(
    private readonly authenticator: ApiKeyAuthenticator,
    private readonly transport: SecureTransport,
    private readonly plaintext: PlaintextKeys,
    private readonly trail: RequestTrail,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /** Synchronous if the key and its user are cached. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const access = this.routes.of(context);
    if (access.isPublic) return true;
    const earlier = authenticationBy(this.options, requestOf(context));
    if (earlier) return this.admit(context, access, earlier.apiKey);
    const head = headOf(requestOf(context));
    const presented = presentedCredential(head, this.options.headerName);
    if (presented.kind !== 'credential' || !this.transport.accepts(head))
      return this.authenticate(context, access, head, presented);
    const known = this.authenticator.recall(presented.value, callerOf(context));
    if (known === undefined) return this.authenticate(context, access, head, presented);
    attachAuthentication(requestOf(context), known);
    return this.admit(context, access, known.apiKey);
  }

  private async authenticate(
    context: ExecutionContext,
    access: RouteAccess,
    head: RequestHead,
    presented: PresentedCredential,
  ): Promise<boolean> {
    const { apiKey } = await this.lookUp(context, head, presented);
    return this.admit(context, access, apiKey);
  }

  private async lookUp(
    context: ExecutionContext,
    head: RequestHead,
    presented: PresentedCredential,
  ): Promise<Authentication> {
    try {
      const from = callerNow(context);
      const isBelieved = presented.kind !== 'incomplete';
      if (isBelieved && !this.transport.accepts(head)) await this.plaintext.refuse(head, from);
      if (presented.kind === 'none') throw new ApiKeyRefusal('MISSING_API_KEY');
      const key = presented.kind === 'credential' ? presented.value : null;
      const found = await this.authenticator.lookUp(key, from);
      attachIfFirst(requestOf(context), found);
      return found;
    } catch (error) {
      return answer(error, context, this.options.realm);
    }
  }

  /** @throws ApiKeyRefusal `WRONG_ENVIRONMENT` if the route does not accept that of the key */
  private admit(context: ExecutionContext, access: RouteAccess, apiKey: ApiKey): true {
    const refusal = wrongEnvironment(access, apiKey);
    return refusal ? refuse(refusal, context, this.options.realm, this.trail) : true;
  }
}
