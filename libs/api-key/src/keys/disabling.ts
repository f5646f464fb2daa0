import { Injectable } from '@nestjs/common';
import { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import type { ReadTurn } from '../database/turns';
import { outliveTrust } from '../lookup/trust-bound';
import { Verification } from '../lookup/verification';
import { type Acting, ownerOf } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import { isRefused } from '../model/is-refused';
import { actingAsStored } from './acting-as-stored';
import { disableKey } from './disable-key';
import { enableKey } from './enable-key';
import { keyIdOf } from './input';
import { KeyChanges } from './key-changes';
import { KeyRules } from './key-rules';
import { AT_ONCE, endingTurn } from './lanes';
import { keyById } from './list-keys';
import { reasonOf, type WithReason } from './reason';
import type { RevokeOptions } from './revocation';

/** Options of `ApiKeyService.disable`. */
export interface DisableOptions extends Pick<RevokeOptions, 'reason' | 'everywhere'> {}

/** Options of `ApiKeyService.enable`. */
export interface EnableOptions extends WithReason {}

/** Disables keys, and enables them again. */
@Injectable()
export class Disabling {
  constructor(
    private readonly database: Database,
    private readonly changes: KeyChanges,
    private readonly rules: KeyRules,
    private readonly verification: Verification,
  ) {}

  /** See `ApiKeyService.disable`. */
  async disable(id: string, options: DisableOptions, acting: Acting): Promise<ApiKey | null> {
    const reason = reasonOf(options);
    const [keyId, by] = [keyIdOf(id), await actingAsStored(this.database, acting, 'ending')];
    if (keyId === null) return null;
    const disabled = await this.changes
      .makeRegardless(
        by,
        (change) => disableKey(change, keyId, reason),
        `to key ${keyId}`,
        async () => (await this.findDisabled(keyId, by, AT_ONCE)) !== null,
      )
      .catch((error) => this.keyIfDisabled(keyId, by, error));
    if (disabled && options.everywhere)
      await outliveTrust(this.database, performance.now()).catch(refuseUnavailable);
    return disabled;
  }

  /** See `ApiKeyService.enable`. */
  async enable(id: string, options: EnableOptions, acting: Acting): Promise<ApiKey | null> {
    const reason = reasonOf(options);
    const [keyId, by] = [keyIdOf(id), await actingAsStored(this.database, acting)];
    if (keyId === null) return null;
    return this.changes
      .make(by, (change) => enableKey(change, keyId, reason), `to key ${keyId}`)
      .catch(refuseUnavailable);
  }

  /** The key, if it is disabled by this actor or by people. */
  private async findDisabled(id: string, acting: Acting, turn: ReadTurn): Promise<ApiKey | null> {
    const found = await keyById(this.database, { id, owner: ownerOf(acting) }, turn, this.rules.derive);
    const isSettled = found?.disabledById === null || found?.disabledById === acting.apiKey?.id;
    return found?.disabledAt && !found.revokedAt && isSettled ? found : null;
  }

  /**
   * The outcome of a COMMIT may be unknown, so the row is read.
   * @throws the error, if the row does not say that the key is disabled by this actor or by people
   */
  private async keyIfDisabled(id: string, acting: Acting, error: unknown): Promise<ApiKey> {
    if (isRefused(error)) throw error;
    const found = await this.findDisabled(id, acting, endingTurn(acting, null)).catch(() => null);
    this.verification.evict(id);
    return found ?? refuseUnavailable(error);
  }
}
