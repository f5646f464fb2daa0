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

/** A machine that compiles twenty servers at once answers no look-up within the default of 200 ms; it costs a request nothing. */
const LOOK_UP_TIMEOUT_MS = 5_000;

/** A limit that no key reaches. */
export const UNREACHED = { limit: 1_000_000_000, windowSeconds: 1 };

/** All three guards, in the order of a request. */
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

/** The route behind the guard of the library, with its default options: a warm request costs no I/O. */
export function ours(databaseUrl: string): DynamicModule {
  return oursLoading(databaseUrl, {});
}

/** The same, with users of one's own. */
export function oursLoading(databaseUrl: string, options: Pick<ApiKeyOptions, 'loadUser'>): DynamicModule {
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), options);
}

/** Behind all three guards, with no limit other than that of the key. */
export function oursScoped(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, ScopedController);
}

/** Behind all three guards, with a limit that no key reaches, counted in memory. */
export function oursWithLimit(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, ScopedController, { rateLimit: UNREACHED });
}

/** The same, counted in PostgreSQL: one statement a request. */
export function oursWithPostgresLimit(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, ScopedController, { rateLimit: { ...UNREACHED, storage: 'postgres' } });
}

/** The same, counted in Redis: one script a request. @throws Error where there is no Redis */
export function oursWithRedisLimit(databaseUrl: string, redisUrl: string | null): DynamicModule {
  if (redisUrl === null) throw new Error('there is no Redis');
  const storage = new RedisThrottlerStorage(new Redis(redisUrl));
  return wired(databaseUrl, ScopedController, { rateLimit: { ...UNREACHED, storage } });
}

/** Behind ours and the guard of `@nestjs/throttler`, with its own storage. */
export function oursWithThrottler(databaseUrl: string): DynamicModule {
  const { limit, windowSeconds } = UNREACHED;
  const throttler = ThrottlerModule.forRoot([{ limit, ttl: windowSeconds * 1_000 }]);
  return wired(databaseUrl, guardedRoute(ApiKeyGuard, ThrottlerGuard), {}, [throttler]);
}

/** With nothing remembered: every request looks its key up. */
export function oursCold(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), { cache: { size: 0 } });
}

/** The same, and however many of them find no valid key, each look-up is a statement of its own. */
export function oursColdAlone(databaseUrl: string, options: Pick<ApiKeyOptions, 'loadUser'>): DynamicModule {
  const alone = { ...options, cache: { size: 0 }, failedAttempts: { limit: null } };
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), alone);
}

/** On a table of keys as Rails mints them, remembering so many. */
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
