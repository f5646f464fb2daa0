import { isIP } from 'node:net';
import { Inject, Injectable } from '@nestjs/common';
import { ApiKeyService } from '../api-key.service';
import { RequestTrail } from '../audit/request-trail';
import type { ApiKey } from '../model/api-key.entity';
import type { Eventually } from '../model/eventually';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { refuseLate, tellRefusal } from '../transport/answer-refusal';
import type { Authentication } from '../transport/authenticated-request';
import { type Caller, knownRequestId } from '../transport/http-exchange';
import { requireAllowedAddress } from './allowed-address';
import { OwnerLoader } from './owner-loader';

/** A key that is valid, and the user of its owner. */
export interface AuthenticatedCaller {
  readonly apiKey: ApiKey;
  /** What option `loadUser` returned. */
  readonly user: unknown;
}

/** Who presents a key, as far as the transport tells. */
export interface PresentingCaller {
  /** IP address; null where it is not known, or anything else: a key with `allowedIps` is refused then. */
  readonly address: string | null;
  /** What the trail names as the route, as `OrdersGateway`: nothing that the caller chose. */
  readonly route: string;
  /** For the trail: up to 48 letters, digits and `_.:/+=-`, else it tells none. Default null. */
  readonly requestId?: string | null;
}

/** Judges keys that come elsewhere than to a guarded route: in the handshake of a WebSocket, or with a message. */
@Injectable()
export class ApiKeyAuthenticator {
  constructor(
    private readonly keys: ApiKeyService,
    private readonly owners: OwnerLoader,
    private readonly trail: RequestTrail,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /**
   * Judges a key as `ApiKeyGuard` does: form, end, address and owner. Notes its use, and tells the trail. Not judged: whether it came in
   * plaintext, which only the transport knows, its scopes (`apiKey.hasScope`), its limits.
   * @throws ApiKeyRefusal `INVALID_API_KEY`, `IP_NOT_ALLOWED`; `KEY_STORE_UNAVAILABLE` where that is not known in time
   */
  async authenticate(
    key: unknown,
    { requestId = null, ...from }: PresentingCaller,
  ): Promise<AuthenticatedCaller> {
    const address = isIP(from.address ?? '') === 0 ? null : from.address;
    const caller: Caller = { route: from.route, address, requestId: knownRequestId(requestId) };
    const request = { ip: address ?? '' };
    try {
      const admitted = this.keys.admit(key, request, this.enter, caller);
      const { apiKey, user } = await refuseLate(this.options.cache.lookUpTimeoutMs, admitted);
      this.keys.noteUse(apiKey);
      if (this.trail.hearsAccepted) this.trail.accepted(apiKey, caller);
      return { apiKey, user };
    } catch (error) {
      tellRefusal(error, caller, this.trail);
      throw error;
    }
  }

  private readonly enter = (apiKey: ApiKey, { address }: Caller): Eventually<Authentication> => {
    requireAllowedAddress(address, apiKey);
    return this.owners.authentication(apiKey);
  };
}
