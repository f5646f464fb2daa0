import { type CanActivate, Controller, Get, type Type, UseGuards } from '@nestjs/common';
import { ANSWER, ROUTE } from './route';

/** Creates a controller with the route of all variants, behind the given guards. */
export function guardedRoute(...guards: Type<CanActivate>[]): Type {
  @Controller(ROUTE)
  @UseGuards(...guards)
  class GuardedController {
    @Get()
    answer() {
      return ANSWER;
    }
  }
  return GuardedController;
}
