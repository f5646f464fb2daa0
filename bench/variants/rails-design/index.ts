import { Controller, type DynamicModule, Get, Module, UseGuards } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { connection } from '../connection';
import { ANSWER, ROUTE } from '../route';
import { RailsApiKey } from './rails-api-key.entity';
import { RailsDesignGuard, RequireScope } from './rails-design.guard';
import { RailsUser } from './rails-user.entity';

@Controller(ROUTE)
@UseGuards(RailsDesignGuard)
class RailsDesignController {
  @Get()
  @RequireScope('orders:read')
  answer() {
    return ANSWER;
  }
}

@Module({})
class RailsDesignModule {}

/** The route behind an unchanged port of the Rails design. */
export function railsDesign(databaseUrl: string): DynamicModule {
  const entities = [RailsApiKey, RailsUser];
  return {
    module: RailsDesignModule,
    imports: [
      TypeOrmModule.forRoot({ ...connection(databaseUrl), entities }),
      TypeOrmModule.forFeature(entities),
    ],
    controllers: [RailsDesignController],
  };
}
