import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { ApiKeyAuthenticator } from './authentication/api-key.authenticator';
import { PlaintextKeys } from './authentication/plaintext-keys';
import { ApiKeyRefusal } from './model/api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './options/api-key.options';
import { RouteAccesses } from './routes/route-access';
import { NeedsKey } from './routes/scopes.decorator';
import { answer } from './transport/answer-refusal';
import { attachAuthentication, attachIfFirst, authenticationBy } from './transport/authenticated-request';
import { callerNow, callerOf, forbidStoring, headOf, requestOf } from './transport/http-exchange';
import { type PresentedCredential, presentedCredential, type RequestHead } from './transport/request-head';
import { SecureTransport } from './transport/secure-transport';

/** Accepts a request if its API key is valid. Sets `request.apiKey` and `request.user`. */
@Injectable()
@NeedsKey()
export class ApiKeyGuard implements CanActivate {
  private readonly routes = new RouteAccesses();

  constructor(
    private readonly authenticator: ApiKeyAuthenticator,
    private readonly transport: SecureTransport,
    private readonly plaintext: PlaintextKeys,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /** Synchronous if the key and its user are cached. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (this.routes.of(context).isPublic || authenticationBy(this.options, requestOf(context))) return true;
    forbidStoring(context);
    const head = headOf(requestOf(context));
    const presented = presentedCredential(head, this.options.headerName);
    if (presented.kind !== 'credential' || !this.transport.accepts(head))
      return this.authenticate(context, head, presented);
    const known = this.authenticator.recall(presented.value, callerOf(context));
    if (known === undefined) return this.authenticate(context, head, presented);
    attachAuthentication(requestOf(context), known);
    return true;
  }

  private async authenticate(
    context: ExecutionContext,
    head: RequestHead,
    presented: PresentedCredential,
  ): Promise<boolean> {
    try {
      const from = callerNow(context);
      const isBelieved = presented.kind !== 'incomplete';
      if (isBelieved && !this.transport.accepts(head)) await this.plaintext.refuse(head, from);
      if (presented.kind === 'none') throw new ApiKeyRefusal('MISSING_API_KEY');
      const key = presented.kind === 'credential' ? presented.value : null;
      attachIfFirst(requestOf(context), await this.authenticator.lookUp(key, from));
      return true;
    } catch (error) {
      return answer(error, context, this.options.realm);
    }
  }
}
