import {
  type DynamicModule,
  Module,
  type ModuleMetadata,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import { DiscoveryModule, HttpAdapterHost, ModuleRef, ModulesContainer } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { ApiKeyGuard } from './api-key.guard';
import { ApiKeyService } from './api-key.service';
import { AUDIT_PROVIDERS } from './audit/providers';
import { RequestTrail } from './audit/request-trail';
import { ApiKeyAuthenticator } from './authentication/api-key.authenticator';
import { ApiKeyHealthIndicator } from './authentication/health-indicator';
import { OwnerLoader } from './authentication/owner-loader';
import { PresentedKeys } from './authentication/presented-keys';
import { AUTHENTICATION_PROVIDERS } from './authentication/providers';
import { requireUsableModule } from './boot/application-check';
import { BOOT_PROVIDERS } from './boot/providers';
import { API_KEY_DATA_SOURCE } from './database/data-source';
import { databaseProviders } from './database/providers';
import { KEYS_PROVIDERS } from './keys/providers';
import { LOOKUP_PROVIDERS } from './lookup/providers';
import { ApiKey } from './model/api-key.entity';
import { API_KEY_OPTIONS, type ApiKeyRootOptions, resolveOptions } from './options/api-key.options';
import { type ApiKeyAsyncOptions, optionsOfEach, optionsProviders } from './options/async-options';
import { ApiKeyThrottlerGuard } from './rate-limit/api-key-throttler.guard';
import { KeyLimits } from './rate-limit/key-limits';
import { QuotaLimiter, RateLimiter } from './rate-limit/limiter';
import { RATE_LIMIT_PROVIDERS } from './rate-limit/providers';
import { GlobalGuards } from './routes/global-guards';
import { ROUTES_PROVIDERS } from './routes/providers';
import { ScopesGuard } from './routes/scopes.guard';
import { exposeThrough } from './transport/authenticated-request';
import { LastUsedWriter } from './usage/last-used-writer';
import { USAGE_PROVIDERS } from './usage/providers';
import { UsageCounter } from './usage/usage-counter';

/**
 * Contains the providers. The module is not global, because Nest shuts down global modules last. So
 * the last uses are written before the data source closes, in any order of imports.
 */
@Module({})
class ApiKeyCoreModule implements OnModuleInit {
  constructor(
    private readonly moduleRef: ModuleRef,
    private readonly modules: ModulesContainer,
    private readonly host: HttpAdapterHost,
    private readonly globals: GlobalGuards,
  ) {}

  /** Nest calls this before it registers HTTP routes; without a constructor in preview mode. */
  configure(): void {
    this.globals?.close();
  }

  onModuleInit(): void {
    requireUsableModule(ApiKeyCoreModule, this.modules, this.moduleRef);
    const { httpAdapter }: Partial<HttpAdapterHost> = this.host;
    if (httpAdapter?.getType() !== 'express') return;
    const { request } = httpAdapter.getInstance<{ readonly request?: object }>();
    if (request) exposeThrough(request);
  }
}

/**
 * Adds API-key authentication to the application. Import the module once: its guards work in every
 * module.
 */
@Module({})
export class ApiKeyModule {
  /**
   * @throws Error if an option is invalid; the boot stops
   * @example
   * ApiKeyModule.forRoot({ prefix: 'acme_live', loadUser: (userId) => users.find(userId) })
   */
  static forRoot(options: ApiKeyRootOptions = {}): DynamicModule {
    const resolved = resolveOptions(options);
    return wire(options.dataSource, [], optionsOfEach(resolved));
  }

  /**
   * The boot stops if the factory fails or returns an invalid option.
   * @throws Error unless exactly one of `useFactory`, `useClass`, `useExisting` is given
   * @example
   * ApiKeyModule.forRootAsync({
   *   imports: [UsersModule],
   *   inject: [UsersService],
   *   useFactory: (users: UsersService) => ({ loadUser: (userId) => users.find(userId) }),
   * })
   */
  static forRootAsync(options: ApiKeyAsyncOptions): DynamicModule {
    return wire(options.dataSource, options.imports ?? [], optionsProviders(options));
  }
}

const PUBLIC = [
  API_KEY_DATA_SOURCE,
  API_KEY_OPTIONS,
  ApiKeyService,
  ApiKeyGuard,
  ApiKeyThrottlerGuard,
  ScopesGuard,
  ApiKeyAuthenticator,
  ApiKeyHealthIndicator,
];
/** Providers that Nest injects into the guards in modules of the application. */
const OF_GUARDS = [
  RateLimiter,
  QuotaLimiter,
  UsageCounter,
  KeyLimits,
  OwnerLoader,
  PresentedKeys,
  LastUsedWriter,
  RequestTrail,
];

function wire(
  dataSource: DataSource | string | undefined,
  imports: NonNullable<ModuleMetadata['imports']>,
  options: readonly Provider[],
): DynamicModule {
  const entity = typeof dataSource === 'object' ? [] : [TypeOrmModule.forFeature([ApiKey], dataSource)];
  const core: DynamicModule = {
    module: ApiKeyCoreModule,
    imports: [...imports, DiscoveryModule, ...entity],
    providers: [
      ...options,
      ...databaseProviders(dataSource),
      ...LOOKUP_PROVIDERS,
      ...AUDIT_PROVIDERS,
      ...USAGE_PROVIDERS,
      ...ROUTES_PROVIDERS,
      ...RATE_LIMIT_PROVIDERS,
      ...KEYS_PROVIDERS,
      ...AUTHENTICATION_PROVIDERS,
      ApiKeyService,
      ApiKeyGuard,
      ApiKeyThrottlerGuard,
      ScopesGuard,
      ...BOOT_PROVIDERS,
    ],
    exports: [...PUBLIC, ...OF_GUARDS],
  };
  return { module: ApiKeyModule, global: true, imports: [core], exports: [core] };
}
