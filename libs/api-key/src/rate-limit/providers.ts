import type { Provider } from '@nestjs/common';
import { DefaultRates } from '../model/authority';
import { DefaultLimits } from './default-limits';
import { KeyLimits } from './key-limits';
import { QuotaLimiter, RateLimiter } from './limiter';

export const RATE_LIMIT_PROVIDERS: readonly Provider[] = [
  RateLimiter,
  QuotaLimiter,
  DefaultLimits,
  { provide: DefaultRates, useExisting: DefaultLimits },
  KeyLimits,
];
