import { Controller, type DynamicModule, Get, Module, type Type, UseGuards } from '@nestjs/common';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { TypeOrmModule } from '@nestjs/typeorm';
import { Redis } from 'ioredis';
import {
  ApiKey,
  ApiKeyGuard,
  ApiKeyModule,
  type ApiKeyOptions,
  ApiKeyThrottlerGuard,
  RedisThrottlerStorage,
  Scopes,
  ScopesGuard,
} from 'nestjs-api-key';
import { connection } from './connection';
import { guardedRoute } from './guarded-route';
import { ANSWER, ROUTE } from './route';

/**
 * Timeout of a look-up, in milliseconds. If twenty servers compile at once, a look-up takes longer
 * than the default timeout of 200 ms. A longer timeout costs a request nothing.
 */
const LOOK_UP_TIMEOUT_MS = 5_000;

/** A rate limit that no key reaches. */
export const UNREACHED = { limit: 1_000_000_000, windowSeconds: 1 };

/** Guards of the library, in the order in which the guards run. */
export const GUARDS = [ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard] as const;

@Controller(ROUTE)
@UseGuards(...GUARDS)
export class ScopedController {
  @Get()
  @Scopes('orders:read')
  answer() {
    return ANSWER;
  }
}

@Module({})
class OursModule {}

/** The route behind `ApiKeyGuard` with the default options. A cache hit needs no I/O. */
export function ours(databaseUrl: string): DynamicModule {
  return oursLoading(databaseUrl, {});
}

/** Returns the variant `ours` with the given `loadUser` option. */
export function oursLoading(databaseUrl: string, options: Pick<ApiKeyOptions, 'loadUser'>): DynamicModule {
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), options);
}

/** The route behind all three guards. Only keys with their own rate limit have a limit. */
export function oursScoped(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, ScopedController);
}

/**
 * The route behind all three guards. The rate limit is counted in memory, and no key reaches it.
 */
export function oursWithLimit(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, ScopedController, { rateLimit: UNREACHED });
}

/**
 * The variant `oursWithLimit`, but PostgreSQL counts the rate limit. Each request needs one
 * statement.
 */
export function oursWithPostgresLimit(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, ScopedController, { rateLimit: { ...UNREACHED, storage: 'postgres' } });
}

/**
 * The variant `oursWithLimit`, but Redis counts the rate limit. Each request needs one Redis
 * script.
 * @throws Error if there is no Redis
 */
export function oursWithRedisLimit(databaseUrl: string, redisUrl: string | null): DynamicModule {
  if (redisUrl === null) throw new Error('there is no Redis');
  const storage = new RedisThrottlerStorage(new Redis(redisUrl));
  return wired(databaseUrl, ScopedController, { rateLimit: { ...UNREACHED, storage } });
}

/**
 * The route behind `ApiKeyGuard` and the `ThrottlerGuard` of `@nestjs/throttler`. The storage of
 * `@nestjs/throttler` counts in memory.
 */
export function oursWithThrottler(databaseUrl: string): DynamicModule {
  const { limit, windowSeconds } = UNREACHED;
  const throttler = ThrottlerModule.forRoot([{ limit, ttl: windowSeconds * 1_000 }]);
  return wired(databaseUrl, guardedRoute(ApiKeyGuard, ThrottlerGuard), {}, [throttler]);
}

/** The variant `ours` without a cache. Every request makes a look-up. */
export function oursCold(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), { cache: { size: 0 } });
}

/** The variant `oursCold` with `failedAttempts` off, so that failed look-ups are not batched. */
export function oursColdAlone(databaseUrl: string, options: Pick<ApiKeyOptions, 'loadUser'>): DynamicModule {
  const alone = { ...options, cache: { size: 0 }, failedAttempts: { limit: null } };
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), alone);
}

/** The variant `ours` with keys in the format of Rails and the given cache size. */
export function oursOfSize(databaseUrl: string, cacheSize: number): DynamicModule {
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), { format: 'hex', cache: { size: cacheSize } });
}

function wired(
  databaseUrl: string,
  controller: Type,
  options: ApiKeyOptions = {},
  more: readonly DynamicModule[] = [],
): DynamicModule {
  return {
    module: OursModule,
    imports: [
      TypeOrmModule.forRoot({ ...connection(databaseUrl), entities: [ApiKey] }),
      ApiKeyModule.forRoot({
        ...options,
        cache: { lookUpTimeoutMs: LOOK_UP_TIMEOUT_MS, ...options.cache },
      }),
      ...more,
    ],
    controllers: [controller],
  };
}
