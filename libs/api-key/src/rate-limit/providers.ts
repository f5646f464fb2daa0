import type { Provider } from '@nestjs/common';
import { DefaultRates } from '../model/authority';
import { WrittenKeys } from '../model/written-keys';
import { DefaultLimits } from './default-limits';
import { KeyLimits } from './key-limits';
import { LimitWarning } from './limit-warning';
import { QuotaLimiter, RateLimiter } from './limiter';
import { UnlimitedRoutes } from './unlimited-routes';

export const RATE_LIMIT_PROVIDERS: readonly Provider[] = [
  RateLimiter,
  QuotaLimiter,
  DefaultLimits,
  { provide: DefaultRates, useExisting: DefaultLimits },
  KeyLimits,
  UnlimitedRoutes,
  { provide: WrittenKeys, useClass: LimitWarning },
];
