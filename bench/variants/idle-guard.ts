import { type CanActivate, type DynamicModule, Injectable, Module } from '@nestjs/common';
import { guardedRoute } from './guarded-route';

@Injectable()
class IdleGuard implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

@Module({})
class IdleGuardModule {}

/** The route behind a guard that does nothing. This variant shows the cost of any guard in Nest. */
export function idleGuard(): DynamicModule {
  return { module: IdleGuardModule, controllers: [guardedRoute(IdleGuard)] };
}
