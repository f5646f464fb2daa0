import { Inject, Injectable } from '@nestjs/common';
import { API_KEY_DATABASE } from '../database/data-source';
import type { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import type { ApiKey } from '../model/api-key.entity';
import { type ApiKeyUsage, usageOf } from './report';
import { UsageCounter } from './usage-counter';

/** Reports how much keys are used. */
@Injectable()
export class KeyUsage {
  constructor(
    @Inject(API_KEY_DATABASE) private readonly database: Database,
    private readonly counter: UsageCounter,
  ) {}

  /** The usage of a key, once what this instance counted of it is written. */
  async of(apiKey: ApiKey): Promise<ApiKeyUsage> {
    if (this.counter.has(apiKey.id)) await this.counter.flush();
    return usageOf(this.database, apiKey).catch(refuseUnavailable);
  }
}
