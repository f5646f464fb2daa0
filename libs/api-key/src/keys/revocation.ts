import { Injectable } from '@nestjs/common';
import { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import { outliveTrust } from '../lookup/trust-bound';
import { Verification } from '../lookup/verification';
import { type Acting, ownerOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyInputError, ApiKeyRefusal } from '../model/api-key.errors';
import { actingAsStored, noKeysIfOfOwner, ownerAsStored } from './acting-as-stored';
import { countLiveDescendants } from './descendants';
import { type Ended, type Revocation, type RevocationScope, revokeKey, revokeKeysOf } from './end-keys';
import { keyIdOf } from './input';
import { KeyChanges } from './key-changes';
import { KeyRules } from './key-rules';
import { keyById } from './list-keys';

/** Options of a revocation. */
export interface RevokeOptions {
  /** The reason, for the trail: 1 to 255 characters, without control characters. */
  reason?: string;
  /**
   * Whether the call waits until no instance can accept the key in a new request, even if a
   * notification or a connection failed. The wait is the time that an instance may trust its cache,
   * 2 s by default. Without this option, instances are notified within milliseconds. Default false.
   */
  everywhere?: boolean;
  /**
   * Whether the descendants are revoked too: keys that the key made, or that were rotated from it.
   * Includes descendants that are being created. Works even if the row of the key was deleted.
   * Default false.
   */
  descendants?: boolean;
}

/** Input of `ApiKeyService.revokeAll`. */
export interface RevokeAllInput extends Pick<RevokeOptions, 'reason' | 'everywhere'> {
  userId: string;
}

/** Revokes keys. */
@Injectable()
export class Revocations {
  constructor(
    private readonly database: Database,
    private readonly changes: KeyChanges,
    private readonly rules: KeyRules,
    private readonly verification: Verification,
  ) {}

  /** See `ApiKeyService.revoke`. */
  async revoke(id: string, options: RevokeOptions, acting: Acting): Promise<Revocation | null> {
    const reason = reasonOf(options);
    const { descendants = false, everywhere = false } = options;
    const [keyId, by] = [keyIdOf(id), await actingAsStored(this.database, acting)];
    if (keyId === null) return null;
    const ended = await this.end(keyId, { reason, descendants }, by);
    if (!ended) return null;
    const liveDescendants = descendants ? 0 : await this.countLiveDescendants(keyId);
    if (everywhere) await this.outliveTrust();
    return { ...ended, liveDescendants };
  }

  /** See `ApiKeyService.revokeAll`. */
  async revokeAll(input: RevokeAllInput, acting: Acting): Promise<ApiKey[]> {
    const reason = reasonOf(input);
    const by = await actingAsStored(this.database, acting);
    const owner = ownerOf(by);
    const userId = await ownerAsStored(this.database, input.userId, 'userId must name the owner of the keys');
    if (owner !== null && owner !== userId) return [];
    const revoked = await this.changes
      .makeRegardless(by, (change) => revokeKeysOf(change, userId, reason))
      .catch((error) => noKeysIfOfOwner(this.database, userId, error));
    if (input.everywhere) await this.outliveTrust();
    return revoked;
  }

  /** Waits until no instance trusts a cache entry from before the revocation. */
  private async outliveTrust(): Promise<void> {
    await outliveTrust(this.database, performance.now()).catch(refuseUnavailable);
  }

  /** Revokes a key. If the outcome of the COMMIT is unknown, reads the row to find the outcome. */
  private async end(id: string, scope: RevocationScope, acting: Acting): Promise<Ended | null> {
    try {
      return await this.changes.makeRegardless(acting, (change) => revokeKey(change, id, scope));
    } catch (error) {
      if (error instanceof ApiKeyRefusal) throw error;
      const found = await keyById(this.database, id, ownerOf(acting), this.rules.derive).catch(() => null);
      this.verification.evict(id);
      if (!found?.revokedAt || scope.descendants) return refuseUnavailable(error);
      return { apiKey: found, descendants: [] };
    }
  }

  /**
   * Counts after the transaction of the revocation, because a slow count must not delay the
   * revocation, and a failed count must not undo it.
   */
  private async countLiveDescendants(id: string): Promise<number | null> {
    return this.database
      .read((session) => countLiveDescendants({ session, table: session.tables.keys }, id))
      .catch(() => null);
  }
}

/**
 * Returns the reason of a revocation; null if no reason is given.
 * @throws ApiKeyInputError if the reason is invalid
 */
function reasonOf({ reason }: Pick<RevokeOptions, 'reason'>): string | null {
  if (reason === undefined) return null;
  if (typeof reason === 'string' && /^\P{Cc}{1,255}$/u.test(reason)) return reason;
  throw new ApiKeyInputError(['reason must have 1 to 255 characters and no control characters']);
}
