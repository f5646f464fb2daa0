import { Injectable } from '@nestjs/common';
import { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import type { ReadTurn } from '../database/turns';
import type { ApiKey } from '../model/api-key.entity';
import { type ApiKeyUsage, usageOf } from './report';
import { UsageCounter } from './usage-counter';

/** Reports the usage of keys. */
@Injectable()
export class KeyUsage {
  constructor(
    private readonly database: Database,
    private readonly counter: UsageCounter,
  ) {}

  /** Returns the usage of a key. Writes the counts of this instance first. */
  async of(apiKey: ApiKey, turn: ReadTurn): Promise<ApiKeyUsage> {
    if (this.counter.has(apiKey.id)) await this.counter.flush();
    return usageOf(this.database, apiKey, turn).catch(refuseUnavailable);
  }
}
