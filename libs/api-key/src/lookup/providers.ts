import type { Provider } from '@nestjs/common';
import { Database } from '../database/database';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { KeyStore } from './key-store';
import { Verification } from './verification';

export const LOOKUP_PROVIDERS: readonly Provider[] = [
  {
    provide: KeyStore,
    inject: [Database, API_KEY_OPTIONS],
    useFactory: (database: Database, { cache }: ResolvedApiKeyOptions) =>
      new KeyStore(database, cache.lookUpTimeoutMs),
  },
  {
    provide: Verification,
    inject: [Database, KeyStore, API_KEY_OPTIONS],
    useFactory: (database: Database, store: KeyStore, { cache }: ResolvedApiKeyOptions) =>
      new Verification(database, store, cache),
  },
];
