import type { Provider } from '@nestjs/common';
import { Database } from '../database/database';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { KeyUsage } from './key-usage';
import { KeyUses } from './key-uses';
import { LastUsedWriter } from './last-used-writer';
import { UsageCounter } from './usage-counter';

export const USAGE_PROVIDERS: readonly Provider[] = [
  KeyUses,
  KeyUsage,
  {
    provide: UsageCounter,
    inject: [Database, API_KEY_OPTIONS],
    useFactory: (database: Database, { usage }: ResolvedApiKeyOptions) => new UsageCounter(database, usage),
  },
  {
    provide: LastUsedWriter,
    inject: [Database, API_KEY_OPTIONS],
    useFactory: (database: Database, { usage }: ResolvedApiKeyOptions) =>
      new LastUsedWriter(database, usage.lastUsedIntervalMs),
  },
];
