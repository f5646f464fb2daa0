import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { ApiKeyRefusal } from './api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { ApiKeyService } from './api-key.service';
import { attachAuthentication, authenticationOf } from './request/authentication';
import { requireAllHeaders } from './request/all-headers';
import { type ApiKeyRequest, requestOf, setHeaders } from './request/http-exchange';
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
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (this.routes.of(context).isPublic) return true;
    const request = requestOf(context);
    if (authenticationOf(request)) return true;
    try {
      await this.authenticate(request);
      return true;
    } catch (error) {
      if (error instanceof ApiKeyRefusal) setHeaders(context, error.headers(this.options.realm));
      throw error;
    }
  }

  private async authenticate(request: ApiKeyRequest): Promise<void> {
    requireAllHeaders(request);
    this.transport.require(request);
    const credential = presentedCredential(request, this.options.headerName);
    const apiKey = await this.keys.authenticate(credential);
    if (!apiKey) throw new ApiKeyRefusal('INVALID_API_KEY');
    const user = await this.owners.load(apiKey.userId);
    if (user === null) throw new ApiKeyRefusal('INVALID_API_KEY');
    attachAuthentication(request, { apiKey, user });
  }
}
