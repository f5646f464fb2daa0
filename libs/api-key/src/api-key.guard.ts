import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { ApiKeyService } from './api-key.service';
import { RequestTrail } from './audit/request-trail';
import { type Eventually, rescue, then } from './eventually';
import { refuse, refuseLate } from './refuse';
import { requireAllHeaders } from './request/all-headers';
import { requireAllowedAddress } from './request/allowed-address';
import { type Authentication, attachAuthentication, authenticationOf } from './request/authentication';
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

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (this.routes.of(context).isPublic || authenticationOf(requestOf(context))) return true;
    return rescue(
      () => then(this.authenticate(requestOf(context)), (found) => this.accept(found, context)),
      (error) => refuse(error, context, this.options.realm, this.trail),
    );
  }

  private authenticate(request: ApiKeyRequest): Eventually<Authentication> {
    const node = requireAllHeaders(request);
    this.transport.require(node);
    const key = presentedCredential(node, this.options.headerName);
    return refuseLate(this.options.lookUpTimeoutMs, this.admit(key, request));
  }

  private admit(key: string, request: ApiKeyRequest): Eventually<Authentication> {
    return then(this.keys.admit(key, request), (apiKey) => {
      requireAllowedAddress(request, apiKey);
      return then(this.owners.load(apiKey), (user) => ({ apiKey, user }));
    });
  }

  private accept(found: Authentication, context: ExecutionContext): boolean {
    attachAuthentication(requestOf(context), found);
    this.keys.noteUse(found.apiKey);
    if (this.trail.hearsAccepted) this.trail.accepted(found.apiKey, callerOf(context));
    return true;
  }
}
