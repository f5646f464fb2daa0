import { Controller, type DynamicModule, Get, Module, type Type, UseGuards } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKey, ApiKeyGuard, ApiKeyModule, type ApiKeyOptions, Scopes, ScopesGuard } from 'nestjs-api-key';
import { connection } from './connection';
import { guardedRoute } from './guarded-route';
import { ANSWER, ROUTE } from './route';

/** A machine that compiles twenty servers at once answers no look-up within the default of 200 ms; it costs a request nothing. */
const LOOK_UP_TIMEOUT_MS = 5_000;

@Controller(ROUTE)
@UseGuards(ApiKeyGuard, ScopesGuard)
class ScopedController {
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
  return wired(databaseUrl, guardedRoute(ApiKeyGuard));
}

/** And behind the guard of scopes. */
export function oursWithScopes(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, ScopedController);
}

/** With nothing remembered: every request looks its key up. */
export function oursCold(databaseUrl: string): DynamicModule {
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), { cacheSize: 0 });
}

/** On a table of keys as Rails mints them, remembering so many. */
export function oursOfSize(databaseUrl: string, cacheSize: number): DynamicModule {
  return wired(databaseUrl, guardedRoute(ApiKeyGuard), { format: 'hex', cacheSize });
}

function wired(databaseUrl: string, controller: Type, options: ApiKeyOptions = {}): DynamicModule {
  return {
    module: OursModule,
    imports: [
      TypeOrmModule.forRoot({ ...connection(databaseUrl), entities: [ApiKey] }),
      ApiKeyModule.forRoot({ lookUpTimeoutMs: LOOK_UP_TIMEOUT_MS, ...options }),
    ],
    controllers: [controller],
  };
}
