import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { ApiKey } from './api-key.entity';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { ApiKeyService } from './api-key.service';
import { RequestTrail } from './audit/request-trail';
import { refuse } from './refuse';
import { requireAllHeaders } from './request/all-headers';
import { requireAllowedAddress } from './request/allowed-address';
import { attachAuthentication, authenticationOf } from './request/authentication';
import { type ApiKeyRequest, callerOf, requestOf } from './request/http-exchange';
import { OwnerLoader } from './request/owner-loader';
import { presentedCredential } from './request/presented-credential';
import { SecureTransport } from './request/secure-transport';
import { RouteAccesses } from './route-access';
import { NeedsKey } from './scopes.decorator';

/** Lets a request in whose API key is valid, and hangs `request.apiKey` and `request.user` on it. */
@Injectable()
@NeedsKey()
export class ApiKeyGuard implements CanActivate {
  private readonly routes = new RouteAccesses();

  constructor(
    private readonly keys: ApiKeyService,
    private readonly owners: OwnerLoader,
    private readonly transport: SecureTransport,
    private readonly trail: RequestTrail,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (this.routes.of(context).isPublic) return true;
    const request = requestOf(context);
    if (authenticationOf(request)) return true;
    try {
      const apiKey = await this.authenticate(request);
      this.trail.accepted(apiKey, () => callerOf(context));
      return true;
    } catch (error) {
      return refuse(error, context, this.options.realm, this.trail);
    }
  }

  private async authenticate(request: ApiKeyRequest): Promise<ApiKey> {
    requireAllHeaders(request);
    this.transport.require(request);
    const credential = presentedCredential(request, this.options.headerName);
    const apiKey = await this.keys.admit(credential);
    requireAllowedAddress(request, apiKey);
    const user = await this.owners.load(apiKey);
    attachAuthentication(request, { apiKey, user });
    this.keys.noteUse(apiKey);
    return apiKey;
  }
}
