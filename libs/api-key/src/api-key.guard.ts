import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { ApiKey } from './api-key.entity';
import { ApiKeyRefusal } from './api-key.errors';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { ApiKeyService } from './api-key.service';
import { extractCredential } from './credential/extract';
import { attachAuthentication, authenticationOf } from './request/authentication';
import { type ApiKeyRequest, nodeRequest, requestOf, setHeaders } from './request/http-exchange';
import { SecureTransport } from './request/secure-transport';
import { routeAccess } from './route-access';
import { LastUsedWriter } from './verification/last-used.writer';
import { OwnerLoader } from './verification/owner-loader';

/** Lets a request in whose API key is valid, and hangs `request.apiKey` and `request.user` on it. */
@Injectable()
export class ApiKeyGuard implements CanActivate {
  constructor(
    private readonly keys: ApiKeyService,
    private readonly owners: OwnerLoader,
    private readonly transport: SecureTransport,
    private readonly lastUsed: LastUsedWriter,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (routeAccess(context).isPublic) return true;
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
    if (!this.transport.carries(nodeRequest(request))) throw new ApiKeyRefusal('HTTPS_REQUIRED');
    const apiKey = await this.keyOf(request);
    const user = await this.owners.load(apiKey.userId);
    if (user === null) throw new ApiKeyRefusal('INVALID_API_KEY');
    attachAuthentication(request, { apiKey, user });
    this.lastUsed.note(apiKey.id);
  }

  private async keyOf(request: ApiKeyRequest): Promise<ApiKey> {
    const presented = extractCredential(nodeRequest(request).rawHeaders, this.options.headerName.toLowerCase());
    if (presented.kind === 'none') throw new ApiKeyRefusal('MISSING_API_KEY');
    if (presented.kind === 'malformed') throw new ApiKeyRefusal('INVALID_API_KEY');
    const result = await this.keys.verify(presented.value);
    if (!result.ok) throw new ApiKeyRefusal('INVALID_API_KEY');
    return result.apiKey;
  }
}
