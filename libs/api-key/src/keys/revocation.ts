import { Injectable } from '@nestjs/common';
import { Database } from '../database/database';
import type { JoinedTransaction } from '../database/joined-transaction';
import { Joining } from '../database/joining';
import type { Session } from '../database/session';
import { refuseUnavailable } from '../database/store-errors';
import type { Reads } from '../database/stored-owner';
import type { ReadTurn } from '../database/turns';
import { outliveTrust } from '../lookup/trust-bound';
import { Verification } from '../lookup/verification';
import { type Acting, ownerOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import { ApiKeyTransactionError } from '../model/api-key.errors';
import { type InTransaction, refuseManager } from '../model/in-transaction';
import { isRefused } from '../model/is-refused';
import { actingAsStored, noKeysIfOfOwner, ownerAsStored } from './acting-as-stored';
import { countLiveDescendants } from './descendants';
import { type Ended, type RevocationScope, revokeKey, revokeKeysOf } from './end-keys';
import { keyIdOf } from './input';
import type { KeyChange } from './key-change';
import { KeyChanges } from './key-changes';
import { KeyRules } from './key-rules';
import { AT_ONCE, endingTurn, readTurn } from './lanes';
import { keyById } from './list-keys';
import { reasonOf, type WithReason } from './reason';

/** Options of a revocation. */
export interface RevokeOptions extends WithReason {
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

/** Options of a revocation in a transaction of the application. */
export interface RevokeInTransactionOptions extends Omit<RevokeOptions, 'everywhere'> {
  /** Only after the commit: repeat the call with `everywhere`, and without the transaction. */
  everywhere?: false;
}

/** Input of `ApiKeyService.revokeAll`. */
export interface RevokeAllInput extends Pick<RevokeOptions, 'reason' | 'everywhere'> {
  userId: string;
}

const NO_OWNER = 'userId must name the owner of the keys';
const NOT_EVERYWHERE =
  'everywhere cannot be part of the transaction of manager, because instances accept the key until its commit: call revoke with everywhere again after the commit';

/** The result of a revocation. */
export interface Revocation extends Ended {
  /**
   * Number of descendants that are still valid, counted after the revocation. With option
   * `descendants`: 0, or if a key acts, the number of those that it may not end. Null if the count
   * failed.
   */
  readonly liveDescendants: number | null;
}

/** Revokes keys. */
@Injectable()
export class Revocations {
  constructor(
    private readonly database: Database,
    private readonly joining: Joining,
    private readonly changes: KeyChanges,
    private readonly rules: KeyRules,
    private readonly verification: Verification,
  ) {}

  /** See `ApiKeyService.revoke`. */
  async revoke(
    id: string,
    options: RevokeOptions,
    acting: Acting,
    within?: InTransaction,
  ): Promise<Revocation | null> {
    const reason = reasonOf(options);
    const { descendants = false, everywhere = false } = options;
    refuseManager(options);
    if (everywhere && within !== undefined) throw new ApiKeyTransactionError(NOT_EVERYWHERE);
    const revoked = await this.joining.run(within, async (joined) => {
      const reads = joined ?? this.database;
      const [keyId, by] = [keyIdOf(id), await actingAsStored(reads, acting, 'ending')];
      if (keyId === null) return null;
      const scope = { reason, descendants };
      const ended = joined ? await this.endIn(joined, keyId, scope, by) : await this.end(keyId, scope, by);
      if (!ended) return null;
      const isComplete = descendants && !by.apiKey;
      return {
        ...ended,
        liveDescendants: isComplete ? 0 : await this.countLiveDescendants(reads, keyId, by),
      };
    });
    if (revoked && everywhere) await this.outliveTrust();
    return revoked;
  }

  /** See `ApiKeyService.revokeAll`. */
  async revokeAll(input: RevokeAllInput, acting: Acting): Promise<ApiKey[]> {
    const reason = reasonOf(input);
    const by = await actingAsStored(this.database, acting, 'ending');
    const owner = ownerOf(by);
    const userId = await ownerAsStored(this.database, input.userId, NO_OWNER, owner, 'ending');
    if (owner !== null && owner !== userId) return [];
    const revoked = await this.changes
      .makeRegardless(by, (change) => revokeKeysOf(change, userId, reason), `all of ${userId}`)
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
    const work = (change: KeyChange) => revokeKey(change, id, scope);
    const isDone = async () =>
      !scope.descendants && (await this.present(id, acting, AT_ONCE))?.revokedAt != null;
    try {
      return await this.changes.makeRegardless(acting, work, `to key ${id}`, isDone);
    } catch (error) {
      if (isRefused(error)) throw error;
      const found = await this.present(id, acting, endingTurn(acting, null)).catch(() => null);
      this.verification.evict(id);
      if (!found?.revokedAt || scope.descendants) return refuseUnavailable(error);
      return { apiKey: found, descendants: [] };
    }
  }

  private async endIn(
    joined: JoinedTransaction,
    id: string,
    scope: RevocationScope,
    acting: Acting,
  ): Promise<Ended | null> {
    const work = (change: KeyChange) => revokeKey(change, id, scope);
    return this.changes.make(acting, work, null, joined).catch(refuseUnavailable);
  }

  private present(id: string, acting: Acting, turn: ReadTurn): Promise<ApiKey | null> {
    return keyById(this.database, { id, owner: ownerOf(acting) }, turn, this.rules.derive);
  }

  /**
   * Counts after the transaction of the revocation, because a slow count must not delay the
   * revocation, and a failed count must not undo it.
   */
  private async countLiveDescendants(reads: Reads, id: string, acting: Acting): Promise<number | null> {
    const { rules } = this;
    const count = (session: Session) =>
      countLiveDescendants({ session, table: session.tables.keys, rules }, id);
    return reads.read(count, readTurn(acting)).catch(() => null);
  }
}
