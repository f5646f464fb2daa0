import { Injectable } from '@nestjs/common';
import { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import { Verification } from '../lookup/verification';
import { ownerAsStored } from './acting-as-stored';

/** Evicts the cached user of an owner in every instance. */
@Injectable()
export class OwnerEviction {
  constructor(
    private readonly database: Database,
    private readonly verification: Verification,
  ) {}

  /** See `ApiKeyService.evictOwner`. */
  async evict(userId: string): Promise<void> {
    const owner = await ownerAsStored(this.database, userId, 'userId must name the owner', null);
    await this.verification.evictOwner(owner).catch(refuseUnavailable);
  }
}
