import type { KeyDigests } from '../credential/digest';
import { isWellFormedKey, MAX_KEY_LENGTH, visiblePrefix, visibleSuffix } from '../credential/format';
import { maskKey } from '../credential/mask';
import { refuseUnavailable } from '../database/store-errors';
import type { KnownKey, LookUpWay } from '../lookup/key-cache';
import type { Verification } from '../lookup/verification';
import { ApiKey } from '../model/api-key.entity';
import type { RefusedKey } from '../model/api-key.errors';
import type { Eventually } from '../model/eventually';
import type { ResolvedApiKeyOptions } from '../options/api-key.options';
import type { DigestWriter } from './digest-writer';

/** Why a key is not accepted. For logs and decisions of the application; callers are told one answer for all. */
export type InvalidKeyReason = 'malformed' | 'unknown' | 'expired' | 'revoked';

/** A key that is not accepted, as the trail is told of it. */
export interface InvalidKey extends RefusedKey {
  readonly reason: InvalidKeyReason;
}

/** Says which way a request's look-up goes, and hears what came of it. */
export interface AttemptWatch {
  watch(
    request: object,
    look: (way: LookUpWay) => Promise<KnownKey | null>,
    isRefused: (found: KnownKey | null) => boolean,
  ): Promise<KnownKey | null>;
}

/** Of all that is no key: nothing else is told of it. */
export const MALFORMED: InvalidKey = { reason: 'malformed', apiKey: null, masked: null };

/** Judges raw keys: their form, what is remembered or stored of them, and whether they are live now. */
export class KeyJudge {
  constructor(
    private readonly digests: KeyDigests,
    private readonly verification: Verification,
    private readonly attempts: AttemptWatch,
    private readonly digestWriter: DigestWriter,
    private readonly options: Pick<ResolvedApiKeyOptions, 'format'>,
  ) {}

  /**
   * The row of a raw key that is valid now, or why it is not; at once where that is known without I/O. A key that is remembered
   * has the form of one: only of others it is checked.
   * @param request that presents it; null where none does
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` where the database does not answer
   */
  judge(key: unknown, request: object | null): Eventually<ApiKey | InvalidKey> {
    if (typeof key !== 'string' || key.length > MAX_KEY_LENGTH) return MALFORMED;
    const digest = this.digests.newest(key);
    const known = this.verification.remembered(digest);
    if (known !== undefined) return this.judged(key, digest, known);
    if (!isWellFormedKey(key, this.options.format === 'hex')) return MALFORMED;
    return this.look(key, digest, request).then(
      (stored) => this.judged(key, digest, stored),
      refuseUnavailable,
    );
  }

  private judged(key: string, digest: string, stored: KnownKey | null): ApiKey | InvalidKey {
    if (!isLive(stored)) return invalidKey(key, stored);
    const { outdated, apiKey } = stored;
    if (outdated !== null && this.digests.isOld(key, outdated))
      this.digestWriter.note(apiKey.id, outdated, digest);
    return apiKey;
  }

  private look(key: string, digest: string, request: object | null): Promise<KnownKey | null> {
    const others = this.digests.othersOf(key);
    const find = (way: LookUpWay) => this.verification.find(digest, way, others);
    if (request === null) return find('alone');
    return this.attempts.watch(request, find, (stored) => !isLive(stored));
  }
}

export function isInvalid(found: ApiKey | InvalidKey): found is InvalidKey {
  return !(found instanceof ApiKey);
}

function isLive(stored: KnownKey | null): stored is KnownKey {
  return stored !== null && !stored.revoked && !stored.expired;
}

function invalidKey(key: string, stored: KnownKey | null): InvalidKey {
  const masked = maskKey(visiblePrefix(key), visibleSuffix(key));
  if (!stored) return { reason: 'unknown', apiKey: null, masked };
  return { reason: stored.revoked ? 'revoked' : 'expired', apiKey: stored.apiKey, masked };
}
