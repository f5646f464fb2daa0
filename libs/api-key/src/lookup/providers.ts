import type { Provider } from '@nestjs/common';
import { API_KEY_DATABASE } from '../database/data-source';
import type { Database } from '../database/database';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { KeyStore } from './key-store';
import { Verification } from './verification';

export const LOOKUP_PROVIDERS: readonly Provider[] = [
  {
    provide: KeyStore,
    inject: [API_KEY_DATABASE, API_KEY_OPTIONS],
    useFactory: (database: Database, { cache }: ResolvedApiKeyOptions) =>
      new KeyStore(database, cache.lookUpTimeoutMs),
  },
  {
    provide: Verification,
    inject: [API_KEY_DATABASE, KeyStore, API_KEY_OPTIONS],
    useFactory: (database: Database, store: KeyStore, { cache }: ResolvedApiKeyOptions) =>
      new Verification(database, store, cache),
  },
];
