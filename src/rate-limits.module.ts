import { type DynamicModule, Logger, Module, type OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import { type RateLimitOptions, RedisThrottlerStorage } from 'nestjs-api-key';
import type { Environment } from './environment';

const RECONNECT_MS = 200;

/** The storage of the rate-limit counters, for the options of the library. */
export class RateLimits implements OnApplicationShutdown {
  private readonly logger = new Logger('App');
  private readonly redis: Redis | null;
  readonly storage: RateLimitOptions['storage'];

  constructor({ rateLimitStorage, redisUrl }: RateLimitSettings) {
    this.redis = rateLimitStorage === 'redis' && redisUrl ? this.connect(redisUrl) : null;
    this.storage = this.redis ? new RedisThrottlerStorage(this.redis) : (rateLimitStorage as 'memory');
  }

  onApplicationShutdown(): void {
    this.redis?.disconnect();
  }

  /**
   * Connects to Redis. If Redis is unavailable, commands fail at once and the library counts in
   * memory. The client tries often to reconnect.
   */
  private connect(url: string): Redis {
    const redis = new Redis(url, {
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 1_000,
      retryStrategy: () => RECONNECT_MS,
    });
    let isAway = false;
    redis.on('error', (error) => {
      if (!isAway)
        this.logger.warn(
          `Redis is away (${error.message}), so limits count in memory: check REDIS_URL if it stays away.`,
        );
      isAway = true;
    });
    redis.on('ready', () => {
      isAway = false;
    });
    return redis;
  }
}

type RateLimitSettings = Pick<Environment, 'rateLimitStorage' | 'redisUrl'>;

@Module({})
export class RateLimitsModule {
  static with(settings: RateLimitSettings): DynamicModule {
    return {
      module: RateLimitsModule,
      providers: [{ provide: RateLimits, useFactory: () => new RateLimits(settings) }],
      exports: [RateLimits],
    };
  }
}
