import { Inject, Injectable } from '@nestjs/common';
import { KeyDigests } from '../credential/digest';
import { Database } from '../database/database';
import { Joining } from '../database/joining';
import { refuseMisfit, refuseUnavailable } from '../database/store-errors';
import { type Acting, ownerOf } from '../model/acting';
import { ApiKeyInputError } from '../model/api-key.errors';
import { type InTransaction, refuseManager } from '../model/in-transaction';
import { API_KEY_OPTIONS, catalogueOf, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { actingAsStored, ownerAsStored } from './acting-as-stored';
import { createKey } from './create-key';
import { API_KEY_DEFAULTS } from './defaults';
import {
  type CreateApiKeyInput,
  checkChanges,
  checkNewKey,
  checkOverlap,
  keyIdOf,
  type NewApiKeyFields,
} from './input';
import type { KeyChange } from './key-change';
import { KeyChanges } from './key-changes';
import { environmentProblems } from './key-environment';
import { KeyRules } from './key-rules';
import { ofOwner } from './lanes';
import type { IssuedApiKey } from './new-key';
import { expiryOfNew } from './policy';
import { rotateKey } from './rotate-key';

/** Lifetimes of the old key and of its successor. */
export interface RotateOptions {
  /**
   * Seconds that the old key still works, 0 to 2,592,000 (30 days). 0 ends the old key at once.
   * Default 86,400.
   */
  overlapSeconds?: number;
  /**
   * When the new key expires; null: never. Default: the new key gets the same lifetime that the old
   * key was issued with, as far as option `policy` and the acting key allow it.
   */
  expiresAt?: Date | null;
}

const NO_OWNER = 'userId must name the owner of the key';

/** Issues new keys and the successors of rotated keys. */
@Injectable()
export class Issuance {
  constructor(
    private readonly database: Database,
    private readonly joining: Joining,
    private readonly changes: KeyChanges,
    private readonly digests: KeyDigests,
    private readonly rules: KeyRules,
    @Inject(API_KEY_OPTIONS) private readonly options: Pick<ResolvedApiKeyOptions, 'scopes'>,
  ) {}

  /** See `ApiKeyService.create`. */
  async create(input: CreateApiKeyInput, acting: Acting, within?: InTransaction): Promise<IssuedApiKey> {
    this.checkInput(input, acting.apiKey !== undefined);
    return this.joining.run(within, async (joined) => {
      const reads = joined ?? this.database;
      const by = await actingAsStored(reads, acting);
      const owner = ownerOf(by);
      const userId = await ownerAsStored(reads, input.userId, NO_OWNER, owner);
      if (owner !== null && userId !== owner) throw new ApiKeyInputError(['userId must be the acting owner']);
      const work = (change: KeyChange) => createKey(change, { ...input, userId }, this.digests);
      return this.changes.make(by, work, ofOwner(userId), joined).catch(refuseMisfit);
    });
  }

  /** See `ApiKeyService.check`. */
  check(input: NewApiKeyFields): void {
    this.checkInput(input, false);
    expiryOfNew(input.expiresAt, null, new Date(), this.rules.policy);
  }

  private checkInput(input: NewApiKeyFields, isOfKey: boolean): void {
    const { forms } = this.rules;
    checkNewKey(input, catalogueOf(this.options), new Date(), (environment) =>
      environmentProblems(environment, forms, isOfKey),
    );
  }

  /** See `ApiKeyService.rotate`. */
  async rotate(
    id: string,
    options: RotateOptions,
    acting: Acting,
    within?: InTransaction,
  ): Promise<IssuedApiKey | null> {
    const { overlapSeconds = API_KEY_DEFAULTS.overlapSeconds, expiresAt } = options;
    refuseManager(options);
    checkOverlap(overlapSeconds);
    checkChanges({ expiresAt }, catalogueOf(this.options), new Date());
    return this.joining.run(within, async (joined) => {
      const [keyId, by] = [keyIdOf(id), await actingAsStored(joined ?? this.database, acting)];
      if (keyId === null) return null;
      const rotation = { overlapSeconds, expiresAt };
      const work = (change: KeyChange) => rotateKey(change, keyId, rotation, this.digests);
      return this.changes.make(by, work, `to key ${keyId}`, joined).catch(refuseUnavailable);
    });
  }
}
