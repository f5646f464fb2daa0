import { Inject, Injectable } from '@nestjs/common';
import { KeyDigests } from '../credential/digest';
import { isWellFormedKey, MAX_KEY_LENGTH, visiblePrefix, visibleSuffix } from '../credential/format';
import { maskKey } from '../credential/mask';
import { refuseUnavailable } from '../database/store-errors';
import type { KnownKey, LookUpWay } from '../lookup/key-cache';
import { Verification } from '../lookup/verification';
import { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal, type RefusedKey } from '../model/api-key.errors';
import type { Caller } from '../model/caller';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { DigestWriter } from './digest-writer';
import { FailedAttempts } from './failed-attempts';

/** Why a key is not accepted. For logs and decisions of the application; callers are told one answer for all. */
export type InvalidKeyReason = 'malformed' | 'unknown' | 'expired' | 'revoked';

/** A key that is not accepted, as the trail is told of it. */
export interface InvalidKey extends RefusedKey {
  readonly reason: InvalidKeyReason;
}

/** Of all that is no key: nothing else is told of it. */
export const MALFORMED: InvalidKey = { reason: 'malformed', apiKey: null, masked: null };

/** Verifies raw keys: their form, what is cached or stored of them, and whether they are live now. */
@Injectable()
export class KeyVerifier {
  constructor(
    private readonly digests: KeyDigests,
    private readonly verification: Verification,
    private readonly attempts: FailedAttempts,
    private readonly digestWriter: DigestWriter,
    @Inject(API_KEY_OPTIONS) private readonly options: Pick<ResolvedApiKeyOptions, 'format'>,
  ) {}

  /**
   * The row of a raw key that is cached and live now, else undefined. No I/O. A cached key has the
   * form of one, which is not checked again.
   */
  recall(key: unknown): ApiKey | undefined {
    if (!mayBeKey(key)) return undefined;
    const digest = this.digests.newest(key);
    const known = this.verification.recall(digest);
    return isLive(known) ? this.accepted(key, digest, known) : undefined;
  }

  /**
   * The row of a raw key that is valid now, or why it is not: from the cache, else looked up. Ask
   * `recall` first, which needs no promise.
   * @param from who presents it; null if nobody does, then no failed attempt is counted
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if the database does not answer
   */
  async verify(key: unknown, from: Pick<Caller, 'address'> | null): Promise<ApiKey | InvalidKey> {
    if (!mayBeKey(key)) return MALFORMED;
    const digest = this.digests.newest(key);
    let known = this.verification.peek(digest);
    if (known === undefined) {
      if (!isWellFormedKey(key, this.options.format === 'hex')) return MALFORMED;
      known = await this.lookUp(key, digest, from);
    }
    return isLive(known) ? this.accepted(key, digest, known) : invalidKey(key, known);
  }

  /** @throws as `verify` */
  async requireValid(key: unknown, from: Pick<Caller, 'address'>): Promise<ApiKey> {
    const found = await this.verify(key, from);
    if (isInvalid(found)) throw new ApiKeyRefusal('INVALID_API_KEY', { refused: found });
    return found;
  }

  private accepted(key: string, digest: string, { outdated, apiKey }: KnownKey): ApiKey {
    if (outdated !== null && this.digests.isOld(key, outdated))
      this.digestWriter.note(apiKey.id, outdated, digest);
    return apiKey;
  }

  private async lookUp(
    key: string,
    digest: string,
    from: Pick<Caller, 'address'> | null,
  ): Promise<KnownKey | null> {
    const others = this.digests.othersOf(key);
    const find = (way: LookUpWay) => this.verification.find(digest, way, others);
    try {
      if (from === null) return await find('alone');
      return await this.attempts.watch(from.address, find, (found) => !isLive(found));
    } catch (error) {
      return refuseUnavailable(error);
    }
  }
}

export function isInvalid(found: ApiKey | InvalidKey): found is InvalidKey {
  return !(found instanceof ApiKey);
}

function mayBeKey(key: unknown): key is string {
  return typeof key === 'string' && key.length <= MAX_KEY_LENGTH;
}

function isLive(known: KnownKey | null | undefined): known is KnownKey {
  return known !== null && known !== undefined && !known.revoked && !known.expired;
}

function invalidKey(key: string, known: KnownKey | null): InvalidKey {
  const masked = maskKey(visiblePrefix(key), visibleSuffix(key));
  if (!known) return { reason: 'unknown', apiKey: null, masked };
  return { reason: known.revoked ? 'revoked' : 'expired', apiKey: known.apiKey, masked };
}
