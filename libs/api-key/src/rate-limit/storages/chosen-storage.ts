import { type ThrottlerStorage, ThrottlerStorageService } from '@nestjs/throttler';
import type { DataSource } from 'typeorm';
import type { ResolvedRateLimitOptions } from '../../options/rate-limit';
import { PostgresThrottlerStorage } from './postgres-storage';

/**
 * The storage of the options or, if it is not set, the storage of `ThrottlerModule`.
 * @returns null if hits are counted in memory, also if `ThrottlerModule` has its default storage
 */
export function chosenStorage(
  own: ResolvedRateLimitOptions['storage'],
  dataSource: DataSource,
  throttlers: ThrottlerStorage | null,
): ThrottlerStorage | null {
  if (own === 'memory') return null;
  if (own === 'postgres') return new PostgresThrottlerStorage(dataSource);
  return own ?? (throttlers instanceof ThrottlerStorageService ? null : throttlers);
}
