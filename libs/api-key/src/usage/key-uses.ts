import { Inject, Injectable } from '@nestjs/common';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { LastUsedWriter } from './last-used-writer';
import { UsageCounter } from './usage-counter';

/** Records uses of keys in memory, for `last_used_at` and the usage report. */
@Injectable()
export class KeyUses {
  constructor(
    private readonly lastUsed: LastUsedWriter,
    private readonly counter: UsageCounter,
    @Inject(API_KEY_OPTIONS) private readonly options: Pick<ResolvedApiKeyOptions, 'usage'>,
  ) {}

  /** Records that a key was used now. Does no I/O. */
  note(id: string): void {
    if (this.options.usage.lastUsed) this.lastUsed.note(id);
    this.counter.note(id);
  }
}
