import { type CanActivate, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { ApiKeyService } from './api-key.service';
import { RequestTrail } from './audit/request-trail';
import { requireAllowedAddress } from './authentication/allowed-address';
import { OwnerLoader } from './authentication/owner-loader';
import { HttpsRule } from './authentication/plaintext-keys';
import type { ApiKey } from './model/api-key.entity';
import { type Eventually, rescue, then } from './model/eventually';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from './options/api-key.options';
import { RouteAccesses } from './routes/route-access';
import { NeedsKey } from './routes/scopes.decorator';
import { requireAllHeaders } from './transport/all-headers';
import { refuse, refuseLate } from './transport/answer-refusal';
import {
  type Authentication,
  attachAuthentication,
  authenticationOf,
} from './transport/authenticated-request';
import { addressOf, callerOf, requestOf } from './transport/http-exchange';
import { presentedCredential } from './transport/presented-credential';

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
    return then(refuseLate(this.options.cache.lookUpTimeoutMs, found), this.accept, context);
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
