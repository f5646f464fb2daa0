import { Inject, Injectable } from '@nestjs/common';
import { RequestTrail } from '../audit/request-trail';
import { inTime } from '../database/deadline';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal } from '../model/api-key.errors';
import type { Caller } from '../model/caller';
import { addressList, isAddress, listHas } from '../model/ip-address';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { tellRefusal } from '../transport/answer-refusal';
import { Authentication } from '../transport/authenticated-request';
import { knownRequestId } from '../transport/http-exchange';
import { KeyUses } from '../usage/key-uses';
import { KeyVerifier } from './key-verifier';
import { OwnerLoader } from './owner-loader';
import { RefusalDelay } from './refusal-delay';

/** A valid key and the user of its owner. */
export interface AuthenticatedCaller {
  readonly apiKey: ApiKey;
  /** The value that the option `loadUser` returned. */
  readonly user: unknown;
}

/** The client that presents a key. */
export interface PresentingCaller {
  /**
   * IP address of the client, or null if the address is unknown. Text that is not an address counts
   * as null. If the address is null, a key with `allowedIps` is refused.
   */
  readonly address: string | null;
  /**
   * Name of the route for the audit trail, such as `OrdersGateway`. Do not use text that the client
   * sent.
   */
  readonly route: string;
  /**
   * Request id for the audit trail: up to 48 letters, digits and `_.:/+=-`. Other values are
   * dropped. Default null.
   */
  readonly requestId?: string | null;
}

/**
 * Authenticates keys. Applications use this class for keys that do not arrive on a guarded route,
 * such as a key in a WebSocket handshake or in a message.
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
   * Authenticates a key like `ApiKeyGuard`: checks form, expiry, revocation, address and owner.
   * Records a use of the key, and records the outcome in the audit trail. Does not check the scopes
   * (`apiKey.hasScope`) or limits of the key. Does not check for plaintext, because only the
   * transport knows the protocol.
   * @throws ApiKeyRefusal `INVALID_API_KEY`, `IP_NOT_ALLOWED`; `KEY_STORE_UNAVAILABLE` if a look-up
   *   fails or misses its deadline
   */
  async authenticate(key: unknown, from: PresentingCaller): Promise<AuthenticatedCaller> {
    const caller = callerFrom(from);
    const { apiKey, user } = this.recall(key, caller) ?? (await this.lookUp(key, caller));
    return { apiKey, user };
  }

  /**
   * Authenticates a key from the caches, without I/O or a promise. Returns undefined if a part is
   * not cached or the key must be refused: then call `lookUp`.
   */
  recall(key: unknown, from: Caller): Authentication | undefined {
    const apiKey = this.keys.recall(key);
    if (apiKey === undefined || !isAllowedFrom(apiKey, from)) return undefined;
    const user = this.owners.recall(apiKey.userId);
    return user ? this.accept(new Authentication(apiKey, user, this.options), from) : undefined;
  }

  /**
   * Authenticates a key after `recall` returned undefined. Looks up the parts that are not cached.
   * For a well-formed key, `INVALID_API_KEY` takes 10 to 20 ms for every reason, unless the
   * look-ups take longer.
   * @throws the errors of `authenticate`
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
    return new Authentication(apiKey, await this.owners.load(apiKey), this.options);
  }

  private accept(found: Authentication, from: Caller): Authentication {
    this.uses.note(found.apiKey.id);
    if (this.trail.hearsAccepted) this.trail.accepted(found.apiKey, from);
    return found;
  }
}

/**
 * Returns whether a key may be used from the address of a client. If the key has `allowedIps`, an
 * unknown address is not allowed.
 */
function isAllowedFrom({ allowedIps }: ApiKey, from: Caller): boolean {
  if (allowedIps === null) return true;
  const { address } = from;
  return address !== null && listHas(addressList(allowedIps), address);
}

/**
 * Checks that a key may be used from the address of a client.
 * @throws ApiKeyRefusal `IP_NOT_ALLOWED` if the address is not allowed
 */
function requireAllowedAddress(apiKey: ApiKey, from: Caller): void {
  if (isAllowedFrom(apiKey, from)) return;
  const refused = { reason: 'address', apiKey, masked: apiKey.masked } as const;
  throw new ApiKeyRefusal('IP_NOT_ALLOWED', { refused });
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
