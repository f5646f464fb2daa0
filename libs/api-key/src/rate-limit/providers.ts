import type { Provider } from '@nestjs/common';
import {
  getOptionsToken,
  getStorageToken,
  type ThrottlerModuleOptions,
  type ThrottlerStorage,
  ThrottlerStorageService,
} from '@nestjs/throttler';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE } from '../database/data-source';
import { Database } from '../database/database';
import { DefaultRates } from '../model/authority';
import { API_KEY_OPTIONS, type ResolvedApiKeyOptions } from '../options/api-key.options';
import { RouteInventory } from '../routes/route-inventory';
import { DefaultLimits, defaultLimits } from './default-limits';
import { KeyLimits } from './key-limits';
import { QuotaLimiter, RateLimiter } from './limiter';
import { PostgresThrottlerStorage } from './storages/postgres-storage';
import { QuotaStorage } from './storages/quota-storage';

export const RATE_LIMIT_PROVIDERS: readonly Provider[] = [
  {
    provide: RateLimiter,
    inject: [API_KEY_OPTIONS, API_KEY_DATA_SOURCE, { token: getStorageToken(), optional: true }],
    useFactory: (
      { rateLimit }: ResolvedApiKeyOptions,
      source: DataSource,
      throttlers: ThrottlerStorage | null = null,
    ) => new RateLimiter(storageOf(rateLimit.storage, source, throttlers), rateLimit),
  },
  {
    provide: QuotaLimiter,
    inject: [API_KEY_OPTIONS, Database],
    useFactory: ({ rateLimit }: ResolvedApiKeyOptions, database: Database) =>
      new QuotaLimiter(new QuotaStorage(database), rateLimit),
  },
  {
    provide: DefaultLimits,
    inject: [API_KEY_OPTIONS, { token: getOptionsToken(), optional: true }],
    useFactory: ({ rateLimit }: ResolvedApiKeyOptions, throttlers: ThrottlerModuleOptions | null = null) =>
      new DefaultLimits(defaultLimits(rateLimit, throttlers)),
  },
  { provide: DefaultRates, useExisting: DefaultLimits },
  {
    provide: KeyLimits,
    inject: [API_KEY_OPTIONS, DefaultLimits, RouteInventory],
    useFactory: (
      { rateLimit }: ResolvedApiKeyOptions,
      { limits }: DefaultLimits,
      inventory: RouteInventory,
    ) => new KeyLimits(rateLimit, limits, () => inventory.classNames()),
  },
];

/**
 * The storage of the options or, if it is not set, the storage of `ThrottlerModule`.
 * @returns null if hits are counted in memory, also if `ThrottlerModule` has its default storage
 */
function storageOf(
  own: ResolvedApiKeyOptions['rateLimit']['storage'],
  dataSource: DataSource,
  throttlers: ThrottlerStorage | null,
): ThrottlerStorage | null {
  if (own === 'memory') return null;
  if (own === 'postgres') return new PostgresThrottlerStorage(dataSource);
  return own ?? (throttlers instanceof ThrottlerStorageService ? null : throttlers);
}
