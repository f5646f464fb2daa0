import { Controller, type DynamicModule, Get, Module, UseGuards } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKey, ApiKeyGuard, ApiKeyModule, Scopes, ScopesGuard } from 'nestjs-api-key';
import { ANSWER, ROUTE } from './route';

@Controller(ROUTE)
@UseGuards(ApiKeyGuard, ScopesGuard)
class OursController {
  @Get()
  @Scopes('orders:read')
  answer() {
    return ANSWER;
  }
}

@Module({})
class OursModule {}

/** The route behind the guards of the library, with its default options. */
export function ours(databaseUrl: string): DynamicModule {
  return {
    module: OursModule,
    imports: [
      TypeOrmModule.forRoot({ type: 'postgres', url: databaseUrl, entities: [ApiKey], retryAttempts: 0 }),
      ApiKeyModule.forRoot(),
    ],
    controllers: [OursController],
  };
}
