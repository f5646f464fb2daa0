import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE } from '../database/data-source';
import { adoptedFromRails } from '../migrations/table-note';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';

/** Stops the boot where a pepper would take keys from a Rails app that nobody said may lose them. */
@Injectable()
export class PepperCheck implements OnApplicationBootstrap {
  constructor(
    @Inject(API_KEY_DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  /** @throws Error where the table was adopted from Rails, and `lockOutRails` is not set */
  async onApplicationBootstrap(): Promise<void> {
    const { pepper } = this.options;
    if (pepper === null || pepper.lockOutRails || !(await adoptedFromRails(this.dataSource))) return;
    throw new Error(
      'ApiKeyModule: table api_keys is shared with a Rails app, which cannot check keys that are stored under a pepper. ' +
        'Leave option "pepper" out, or set pepper.lockOutRails: true once no Rails app authenticates by it any more.',
    );
  }
}
