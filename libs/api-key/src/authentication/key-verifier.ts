import { Injectable } from '@nestjs/common';
import { KeyDigests } from '../credential/digest';
import { MAX_KEY_LENGTH, visiblePrefix, visibleSuffix } from '../credential/format';
import { KeyForms } from '../credential/key-forms';
import { maskKey } from '../credential/mask';
import { refuseUnavailable } from '../database/store-errors';
import type { KnownKey } from '../lookup/cached-key';
import type { LookUpWay } from '../lookup/key-cache';
import { Verification } from '../lookup/verification';
import { ApiKey } from '../model/api-key.entity';
import { ApiKeyRefusal, type RefusedKey } from '../model/api-key.errors';
import type { Caller } from '../model/caller';
import { DigestWriter } from './digest-writer';
import { FailedAttempts } from './failed-attempts';

/**
 * Why a key is not valid, for logs and decisions of the application. Clients get the same answer
 * for every reason.
 */
export type InvalidKeyReason =
  | 'malformed'
  | 'prefix'
  | 'unknown'
  | 'expired'
  | 'unused'
  | 'revoked'
  | 'disabled';

/** An invalid key, in the form that the audit trail records. */
export interface InvalidKey extends RefusedKey {
  readonly reason: InvalidKeyReason;
}

/** Properties of a well-formed key that follow from its text alone. */
export interface KeyForm {
  /** The digests under which the key may be stored. */
  readonly digests: readonly string[];
  /** Whether the prefix of the key is accepted. */
  readonly isAccepted: boolean;
  /** Environment of the key, or null if the key has no environment. */
  readonly environment: string | null;
}

/**
 * Result for any text that is not a key. The audit trail records no other detail of such a text.
 */
export const MALFORMED: InvalidKey = { reason: 'malformed', apiKey: null, masked: null };

/** Verifies raw keys: their form, their cache entry or row, and whether they are valid now. */
@Injectable()
export class KeyVerifier {
  constructor(
    private readonly digests: KeyDigests,
    private readonly verification: Verification,
    private readonly attempts: FailedAttempts,
    private readonly digestWriter: DigestWriter,
    private readonly forms: KeyForms,
  ) {}

  /**
   * Returns a key if the key is cached and valid now, otherwise undefined. Does no I/O. The form
   * and prefix of a cached key are not checked again, because only accepted keys are looked up.
   */
  recall(key: unknown): ApiKey | undefined {
    if (!mayBeKey(key)) return undefined;
    const digest = this.digests.newest(key);
    const known = this.verification.keys.recall(digest);
    return isLive(known) ? this.accepted(key, digest, known) : undefined;
  }

  /**
   * Returns a key if the key is valid now, otherwise the reason why it is not valid. Looks up a key
   * that is not cached. Call `recall` first, because `recall` needs no promise.
   * @param from the client, or null to count no failed look-up
   * @throws ApiKeyRefusal `KEY_STORE_UNAVAILABLE` if the database does not answer
   */
  async verify(key: unknown, from: Pick<Caller, 'address'> | null): Promise<ApiKey | InvalidKey> {
    if (!mayBeKey(key)) return MALFORMED;
    const digest = this.digests.newest(key);
    let known = this.verification.keys.peek(digest);
    if (known === undefined) {
      const problem = this.forms.problemOf(key);
      if (problem === 'malformed') return MALFORMED;
      if (problem !== null) return { reason: problem, apiKey: null, masked: maskedKey(key) };
      known = await this.lookUp(key, digest, from);
    }
    return isLive(known) ? this.accepted(key, digest, known) : invalidKey(key, known);
  }

  /**
   * Returns a key if the key is valid now.
   * @throws ApiKeyRefusal `INVALID_API_KEY` if the key is not valid, or the errors of `verify`
   */
  async requireValid(key: unknown, from: Pick<Caller, 'address'>): Promise<ApiKey> {
    const found = await this.verify(key, from);
    if (isInvalid(found)) throw new ApiKeyRefusal('INVALID_API_KEY', { refused: found });
    return found;
  }

  /**
   * Returns the properties that follow from the text of a key, or null if the text is not a key.
   * Does no I/O.
   */
  formOf(key: unknown): KeyForm | null {
    if (!mayBeKey(key)) return null;
    const problem = this.forms.problemOf(key);
    if (problem === 'malformed') return null;
    return {
      digests: [this.digests.newest(key), ...this.digests.othersOf(key)],
      isAccepted: problem === null,
      environment: this.forms.environmentOf(key) ?? null,
    };
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
    const environment = this.forms.environmentOf(key) ?? null;
    const find = (way: LookUpWay) => this.verification.keys.find(digest, way, others, environment);
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
  if (known === null || known === undefined) return false;
  return known.stopped === null && !known.expired && !known.unused;
}

function invalidKey(key: string, known: KnownKey | null): InvalidKey {
  const masked = maskedKey(key);
  if (!known) return { reason: 'unknown', apiKey: null, masked };
  return { reason: reasonOf(known), apiKey: known.apiKey, masked };
}

function maskedKey(key: string): string {
  return maskKey(visiblePrefix(key), visibleSuffix(key));
}

function reasonOf({ stopped, expired }: KnownKey): InvalidKeyReason {
  if (stopped !== null) return stopped;
  return expired ? 'expired' : 'unused';
}
