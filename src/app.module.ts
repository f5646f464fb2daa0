import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  ApiKeyGuard,
  ApiKeyModule,
  ApiKeyThrottlerGuard,
  adoptedFromRails,
  ScopesGuard,
} from 'nestjs-api-key';
import { ApiKeyManagementModule } from 'nestjs-api-key/management';
import { DataSource } from 'typeorm';
import { DatabaseAwayFilter } from './database-away.filter';
import type { Environment } from './environment';
import { HealthController } from './health.controller';
import { InvalidRequestFilter, validationPipe } from './invalid-request';
import { OrdersModule } from './orders/orders.module';
import { RateLimits, RateLimitsModule } from './rate-limits.module';
import { SCOPES } from './scopes';
import { UsersModule } from './users/users.module';
import { UsersService } from './users/users.service';

/** Settings and data source of the app. */
export interface AppSettings
  extends Pick<Environment, 'keyFormat' | 'trustProxy' | 'rateLimit' | 'rateLimitStorage' | 'redisUrl'> {
  readonly dataSource: DataSource;
}

@Module({})
export class AppModule {
  static with(settings: AppSettings): DynamicModule {
    const { dataSource, keyFormat, trustProxy, rateLimit } = settings;
    return {
      module: AppModule,
      imports: [
        TypeOrmModule.forRootAsync({
          useFactory: () => dataSource.options,
          dataSourceFactory: async () => dataSource,
        }),
        ApiKeyModule.forRootAsync({
          imports: [UsersModule, RateLimitsModule.with(settings)],
          inject: [UsersService, DataSource, RateLimits],
          useFactory: async (users: UsersService, source: DataSource, { storage }: RateLimits) => ({
            prefix: 'acme_live',
            format: keyFormat ?? ((await adoptedFromRails(source)) ? 'hex' : 'checksummed'),
            scopes: SCOPES,
            loadUser: (userId) => users.find(userId),
            realm: 'acme',
            https: { trustProxy },
            rateLimit: { ...rateLimit, storage },
          }),
        }),
        ApiKeyManagementModule.forRoot({ guards: [ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard] }),
        UsersModule,
        OrdersModule,
      ],
      controllers: [HealthController],
      providers: [
        { provide: APP_FILTER, useClass: DatabaseAwayFilter },
        { provide: APP_FILTER, useClass: InvalidRequestFilter },
        { provide: APP_PIPE, useFactory: validationPipe },
      ],
    };
  }
}
