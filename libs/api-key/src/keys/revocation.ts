import { Inject, Injectable } from '@nestjs/common';
import { API_KEY_DATABASE } from '../database/data-source';
import type { Database } from '../database/database';
import { isUnfit, refuseUnavailable } from '../database/store-errors';
import { outliveTrust } from '../lookup/trust-bound';
import { Verification } from '../lookup/verification';
import { type Acting, ownerOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyInputError, ApiKeyRefusal } from '../model/api-key.errors';
import { actingAsStored, ownerAsStored } from './acting-as-stored';
import { countLiveDescendants } from './descendants';
import { type Ended, type Revocation, type RevocationScope, revokeKey, revokeKeysOf } from './end-keys';
import { keyIdOf } from './input';
import { KeyChanges } from './key-changes';
import { keyById } from './list-keys';

/** Why a key is revoked. */
export interface RevokeOptions {
  /** For the trail: 1 to 255 characters, none of them a control character. */
  reason?: string;
  /**
   * Whether to answer only once no instance can accept the key in a request that starts then, whatever has failed in between: it
   * takes as long as instances may trust what they remember, 2 s by default. Without it, they hear of it within milliseconds.
   */
  everywhere?: boolean;
  /**
   * Whether all that the key made, or that was rotated from it, ends with it, also what is being
   * made meanwhile, and also if its own row is gone. Default false.
   */
  descendants?: boolean;
}

/** The keys of one owner. */
export interface RevokeAllInput extends Pick<RevokeOptions, 'reason' | 'everywhere'> {
  userId: string;
}

/** Revokes keys. */
@Injectable()
export class Revocations {
  constructor(
    @Inject(API_KEY_DATABASE) private readonly database: Database,
    private readonly changes: KeyChanges,
    private readonly verification: Verification,
  ) {}

  /** As `ApiKeyService.revoke`. */
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

  /** As `ApiKeyService.revokeAll`. */
  async revokeAll(input: RevokeAllInput, acting: Acting): Promise<ApiKey[]> {
    const reason = reasonOf(input);
    const by = await actingAsStored(this.database, acting);
    const owner = ownerOf(by);
    const userId = await ownerAsStored(this.database, input.userId, 'userId must name the owner of the keys');
    if (owner !== null && owner !== userId) return [];
    const revoked = await this.changes
      .makeRegardless(by, (change) => revokeKeysOf(change, userId, reason))
      .catch((error) => (isUnfit(error) ? [] : refuseUnavailable(error)));
    if (input.everywhere) await this.outliveTrust();
    return revoked;
  }

  /** Waits until no instance trusts what it cached before. */
  private async outliveTrust(): Promise<void> {
    await outliveTrust(this.database, performance.now()).catch(refuseUnavailable);
  }

  /** If the outcome of the COMMIT is unknown, the row tells it. */
  private async end(id: string, scope: RevocationScope, acting: Acting): Promise<Ended | null> {
    try {
      return await this.changes.makeRegardless(acting, (change) => revokeKey(change, id, scope));
    } catch (error) {
      if (error instanceof ApiKeyRefusal) throw error;
      const found = await keyById(this.database, id, ownerOf(acting)).catch(() => null);
      this.verification.evict(id);
      if (!found?.revokedAt || scope.descendants) return refuseUnavailable(error);
      return { apiKey: found, descendants: [] };
    }
  }

  /** After the revocation and outside of it: many keys take a while to count, and a failure must not undo it. */
  private async countLiveDescendants(id: string): Promise<number | null> {
    return this.database
      .read((session) => countLiveDescendants({ session, table: session.tables.keys }, id))
      .catch(() => null);
  }
}

/**
 * The reason of a revocation; null if none is given.
 * @throws ApiKeyInputError if it does not fit
 */
function reasonOf({ reason }: Pick<RevokeOptions, 'reason'>): string | null {
  if (reason === undefined) return null;
  if (typeof reason === 'string' && /^\P{Cc}{1,255}$/u.test(reason)) return reason;
  throw new ApiKeyInputError(['reason must have 1 to 255 characters, none of them a control character']);
}
