import { Inject, Injectable } from '@nestjs/common';
import { RequestTrail } from '../audit/request-trail';
import { inTime } from '../database/deadline';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { Caller } from '../model/caller';
import { isAddress } from '../model/ip-address';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { tellRefusal } from '../transport/answer-refusal';
import { Authentication } from '../transport/authenticated-request';
import { knownRequestId } from '../transport/http-exchange';
import { KeyUses } from '../usage/key-uses';
import { isAllowedFrom, requireAllowedAddress } from './allowed-address';
import { KeyVerifier } from './key-verifier';
import { OwnerLoader } from './owner-loader';
import { RefusalDelay } from './refusal-delay';

/** A key that is valid, and the user of its owner. */
export interface AuthenticatedCaller {
  readonly apiKey: ApiKey;
  /** What option `loadUser` returned. */
  readonly user: unknown;
}

/** Who presents a key, as far as the transport knows. */
export interface PresentingCaller {
  /** IP address; null if it is not known, or anything else: a key with `allowedIps` is refused then. */
  readonly address: string | null;
  /** What the trail names as the route, as `OrdersGateway`: nothing that the caller chose. */
  readonly route: string;
  /** For the trail: up to 48 letters, digits and `_.:/+=-`; anything else is left out. Default null. */
  readonly requestId?: string | null;
}

/**
 * Authenticates keys. For applications: keys that come elsewhere than to a guarded route, such as
 * in the handshake of a WebSocket or with a message.
 */
@Injectable()
export class ApiKeyAuthenticator {
  constructor(
    private readonly keys: KeyVerifier,
    private readonly owners: OwnerLoader,
    private readonly uses: KeyUses,
    private readonly refusals: RefusalDelay,
    private readonly trail: RequestTrail,
    @Inject(API_KEY_OPTIONS) private readonly options: Pick<ResolvedApiKeyOptions, 'cache'>,
  ) {}

  /**
   * Authenticates a key as `ApiKeyGuard` does: form, expiry, revocation, address and owner. Notes
   * its use, and records the outcome in the trail. Not checked: whether it came in plaintext, which
   * only the transport knows, its scopes (`apiKey.hasScope`), its limits.
   * @throws ApiKeyRefusal `INVALID_API_KEY`, `IP_NOT_ALLOWED`; `KEY_STORE_UNAVAILABLE` if that is
   *   not known in time
   */
  async authenticate(key: unknown, from: PresentingCaller): Promise<AuthenticatedCaller> {
    const caller = callerFrom(from);
    const { apiKey, user } = this.recall(key, caller) ?? (await this.lookUp(key, caller));
    return { apiKey, user };
  }

  /**
   * Authenticates a key from the caches, without I/O or a promise. Returns successes only:
   * undefined is no refusal, but asks for `lookUp`.
   */
  recall(key: unknown, from: Caller): Authentication | undefined {
    const apiKey = this.keys.recall(key);
    if (apiKey === undefined || !isAllowedFrom(apiKey, from)) return undefined;
    const user = this.owners.recall(apiKey.userId);
    return user ? this.accept(new Authentication(apiKey, user), from) : undefined;
  }

  /**
   * Authenticates a key that `recall` did not: looks up what is not cached. `INVALID_API_KEY` of a
   * well-formed key takes 10 to 20 ms, whatever the reason, unless the look-ups take longer.
   * @throws as `authenticate`
   */
  async lookUp(key: unknown, from: Caller): Promise<Authentication> {
    try {
      const found = this.refusals.hold(this.find(key, from));
      const late = () => tooLate(this.options.cache.lookUpTimeoutMs);
      return this.accept(await inTime(this.options.cache.lookUpTimeoutMs, found, late), from);
    } catch (error) {
      tellRefusal(error, from, this.trail);
      throw error;
    }
  }

  private async find(key: unknown, from: Caller): Promise<Authentication> {
    const apiKey = await this.keys.requireValid(key, from);
    requireAllowedAddress(apiKey, from);
    return new Authentication(apiKey, await this.owners.load(apiKey));
  }

  private accept(found: Authentication, from: Caller): Authentication {
    this.uses.note(found.apiKey.id);
    if (this.trail.hearsAccepted) this.trail.accepted(found.apiKey, from);
    return found;
  }
}

function callerFrom({ address, route, requestId = null }: PresentingCaller): Caller {
  return {
    route,
    address: isAddress(address) ? address : null,
    requestId: knownRequestId(requestId),
  };
}

function tooLate(deadlineMs: number): ApiKeyRefusal {
  const cause = new Error(`no answer within ${deadlineMs} ms (cache.lookUpTimeoutMs)`);
  return new ApiKeyRefusal('KEY_STORE_UNAVAILABLE', { cause });
}
