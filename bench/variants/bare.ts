import { Controller, type DynamicModule, Get, Module } from '@nestjs/common';
import { ANSWER, ROUTE } from './route';

@Controller(ROUTE)
class BareController {
  @Get()
  answer() {
    return ANSWER;
  }
}

@Module({})
class BareModule {}

/** The route without a guard and without a database. */
export function bare(): DynamicModule {
  return { module: BareModule, controllers: [BareController] };
}
