import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE } from '../database/data-source';
import { KeyStore } from '../lookup/key-store';
import { adoptedFromRails } from '../migrations/table-note';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import type { BootCheck } from './boot-check';

/** Checks that the table is usable, and that a pepper does not lock out a Rails app by accident. */
@Injectable()
export class TableCheck implements BootCheck {
  constructor(
    private readonly store: KeyStore,
    @Inject(API_KEY_DATA_SOURCE) private readonly dataSource: DataSource,
    @Inject(API_KEY_OPTIONS) private readonly options: ResolvedApiKeyOptions,
  ) {}

  async problems(): Promise<readonly string[]> {
    await this.store.check();
    const { pepper } = this.options;
    if (pepper === null || pepper.lockOutRails || !(await adoptedFromRails(this.dataSource))) return [];
    return [
      'table api_keys is shared with a Rails app, which cannot check keys that are stored under a pepper. ' +
        'Remove the option "pepper", or set pepper.lockOutRails: true when no Rails app authenticates with this table any more.',
    ];
  }
}
