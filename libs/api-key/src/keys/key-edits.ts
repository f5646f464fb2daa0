import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../database/database';
import { Joining } from '../database/joining';
import { refuseMisfit, refuseUnavailable } from '../database/store-errors';
import type { Acting } from '../model/acting';
import type { ApiKey } from '../model/api-key.entity';
import type { InTransaction } from '../model/in-transaction';
import { API_KEY_OPTIONS, catalogueOf, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { actingAsStored } from './acting-as-stored';
import { deleteKey } from './end-keys';
import { checkChanges, keyIdOf, type UpdateApiKeyInput } from './input';
import type { KeyChange } from './key-change';
import { KeyChanges } from './key-changes';
import { updateKey } from './update-key';

/** Changes and deletes keys. */
@Injectable()
export class KeyEdits {
  constructor(
    private readonly database: Database,
    private readonly joining: Joining,
    private readonly changes: KeyChanges,
    @Inject(API_KEY_OPTIONS) private readonly options: Pick<ResolvedApiKeyOptions, 'scopes'>,
  ) {}

  /** See `ApiKeyService.update`. */
  async update(
    id: string,
    changes: UpdateApiKeyInput,
    acting: Acting,
    within?: InTransaction,
  ): Promise<ApiKey | null> {
    checkChanges(changes, catalogueOf(this.options), new Date());
    return this.joining.run(within, async (joined) => {
      const [keyId, by] = [keyIdOf(id), await actingAsStored(joined ?? this.database, acting)];
      if (keyId === null) return null;
      const work = (change: KeyChange) => updateKey(change, keyId, changes);
      return this.changes.make(by, work, `to key ${keyId}`, joined).catch(refuseMisfit);
    });
  }

  /** See `ApiKeyService.delete`. */
  async delete(id: string, acting: Acting): Promise<boolean> {
    const [keyId, by] = [keyIdOf(id), await actingAsStored(this.database, acting, 'ending')];
    if (keyId === null) return false;
    return this.changes
      .end(by, (change) => deleteKey(change, keyId), `to key ${keyId}`)
      .catch(refuseUnavailable);
  }
}
