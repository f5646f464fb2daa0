import { Controller, Get, Module, Post } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  ApiKey,
  ApiKeyAuth,
  ApiKeyGuard,
  ApiKeyModule,
  ApiKeyThrottlerGuard,
  apiKeyMigrations,
  CurrentUser,
  ScopesGuard,
} from 'nestjs-api-key';
import { ApiKeyManagementModule } from 'nestjs-api-key/management';

@Controller('orders')
@ApiKeyAuth('orders:read')
class OrdersController {
  @Get()
  list(@CurrentUser('id') userId: string) {
    return { ordersOf: userId };
  }

  @Post()
  @ApiKeyAuth('orders:write')
  create() {
    return { created: true };
  }
}

@Module({
  imports: [
    TypeOrmModule.forRoot({
      type: 'postgres',
      url: process.env.DATABASE_URL,
      entities: [ApiKey],
      migrations: apiKeyMigrations(),
      migrationsRun: true,
    }),
    ApiKeyModule.forRoot({
      prefix: 'acme_live',
      scopes: {
        'orders:read': 'Read orders',
        'orders:write': 'Create orders',
        'api-keys:read': 'See API keys',
        'api-keys:write': 'Issue, change and revoke API keys',
      },
      rateLimit: { limit: 600, windowSeconds: 60 },
    }),
    ApiKeyManagementModule.forRoot({ guards: [ApiKeyGuard, ApiKeyThrottlerGuard, ScopesGuard] }),
  ],
  controllers: [OrdersController],
})
export class AppModule {}
