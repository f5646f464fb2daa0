import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import type { ApiKey } from './api-key.entity';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './api-key.options';
import { ApiKeyService } from './api-key.service';
import { RequestTrail } from './audit/request-trail';
import { type Eventually, rescue, then } from './eventually';
import { HttpsRule } from './https-rule';
import { refuse, refuseLate } from './refuse';
import { requireAllHeaders } from './request/all-headers';
import { requireAllowedAddress } from './request/allowed-address';
import { type Authentication, attachAuthentication, authenticationOf } from './request/authentication';
import { addressOf, callerOf, requestOf } from './request/http-exchange';
import { OwnerLoader } from './request/owner-loader';
import { presentedCredential } from './request/presented-credential';
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
    private readonly https: HttpsRule,
    private readonly trail: RequestTrail,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    if (this.routes.of(context).isPublic || authenticationOf(requestOf(context))) return true;
    return rescue(this.enter, this.refuse, context);
  }

  private readonly enter = (context: ExecutionContext): Eventually<boolean> => {
    const head = requireAllHeaders(requestOf(context));
    const refused = this.https.refuse(head, context);
    if (refused) return refused;
    const key = presentedCredential(head, this.options.headerName);
    const found = this.keys.admit(key, requestOf(context), this.authenticate, context);
    return then(refuseLate(this.options.lookUpTimeoutMs, found), this.accept, context);
  };

  private readonly authenticate = (apiKey: ApiKey, context: ExecutionContext): Eventually<Authentication> => {
    if (apiKey.allowedIps !== null) requireAllowedAddress(addressOf(requestOf(context)), apiKey);
    return this.owners.authentication(apiKey);
  };

  private readonly accept = (found: Authentication, context: ExecutionContext): boolean => {
    attachAuthentication(requestOf(context), found);
    this.keys.noteUse(found.apiKey);
    if (this.trail.hearsAccepted) this.trail.accepted(found.apiKey, callerOf(context));
    return true;
  };

  private readonly refuse = (error: unknown, context: ExecutionContext): never =>
    refuse(error, context, this.options.realm, this.trail);
}
