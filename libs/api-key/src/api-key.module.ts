import {
  type DynamicModule,
  type FactoryProvider,
  type InjectionToken,
  Module,
  type ModuleMetadata,
  type OnModuleInit,
  type OptionalFactoryDependency,
  type Provider,
  Scope,
} from '@nestjs/common';
import { DiscoveryModule, HttpAdapterHost, ModuleRef, ModulesContainer } from '@nestjs/core';
import {
  getOptionsToken,
  getStorageToken,
  type ThrottlerModuleOptions,
  type ThrottlerStorage,
  ThrottlerStorageService,
} from '@nestjs/throttler';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { ApiKeyGuard } from './api-key.guard';
import { ApiKeyService } from './api-key.service';
import { Announcer } from './audit/announcer';
import { ChangeTrail } from './audit/change-trail';
import { RequestTrail } from './audit/request-trail';
import { Trail } from './audit/trail';
import { ApiKeyAuthenticator } from './authentication/api-key.authenticator';
import { DigestWriter } from './authentication/digest-writer';
import { FailedAttempts } from './authentication/failed-attempts';
import { ApiKeyHealthIndicator } from './authentication/health-indicator';
import { KeyVerifier } from './authentication/key-verifier';
import { OwnerLoader } from './authentication/owner-loader';
import { PlaintextKeys } from './authentication/plaintext-keys';
import { RefusalDelay } from './authentication/refusal-delay';
import { BootCheck } from './boot/boot-check';
import { DeadlineCheck } from './boot/deadline-check';
import { PepperCheck } from './boot/pepper-check';
import { KeyDigests } from './credential/digest';
import { API_KEY_DATA_SOURCE, API_KEY_DATABASE } from './database/data-source';
import { Database } from './database/database';
import { KeyChanges } from './keys/key-changes';
import { Revocations } from './keys/revocation';
import { KeyStore } from './lookup/key-store';
import { Verification } from './lookup/verification';
import { ApiKey } from './model/api-key.entity';
import {
  API_KEY_OPTIONS,
  type ApiKeyOptions,
  type ApiKeyRootOptions,
  type ResolvedApiKeyOptions,
  resolveOptions,
} from './options/api-key.options';
import { UNPEPPERED } from './options/pepper';
import { ApiKeyThrottlerGuard } from './rate-limit/api-key-throttler.guard';
import { DefaultLimits, defaultLimits } from './rate-limit/default-limits';
import { KeyLimits } from './rate-limit/key-limits';
import { QuotaLimiter, RateLimiter } from './rate-limit/limiter';
import { PostgresThrottlerStorage } from './rate-limit/storages/postgres-storage';
import { QuotaStorage } from './rate-limit/storages/quota-storage';
import { RouteInventory } from './routes/route-inventory';
import { ScopesGuard } from './routes/scopes.guard';
import { exposeThrough } from './transport/authenticated-request';
import { SecureTransport } from './transport/secure-transport';
import { KeyUses } from './usage/key-uses';
import { LastUsedWriter } from './usage/last-used-writer';
import { UsageCounter } from './usage/usage-counter';

/** Options of `ApiKeyModule.forRootAsync`: `dataSource` at once, the others from a factory. */
export interface ApiKeyAsyncOptions
  extends Pick<ModuleMetadata, 'imports'>,
    Pick<ApiKeyRootOptions, 'dataSource'> {
  /** What the factory is given, in order. */
  inject?: (InjectionToken | OptionalFactoryDependency)[];
  /** Computes the options; with `inject`, `loadUser` can use any provider of `imports`. */
  useFactory: FactoryProvider<ApiKeyOptions>['useFactory'];
}

/**
 * The providers. Not global: Nest ends global modules last, so that uses are written before the data source closes,
 * wherever in the application the two are imported.
 */
@Module({})
class ApiKeyCoreModule implements OnModuleInit {
  constructor(
    private readonly moduleRef: ModuleRef,
    private readonly modules: ModulesContainer,
    private readonly host: HttpAdapterHost,
  ) {}

  /**
   * @throws Error where an injected provider lives for one request: Nest would then skip every check and write at boot and
   *   shutdown; or where the module is there twice: a key of one would pass for a key of the other
   */
  onModuleInit(): void {
    const imported = [...this.modules.values()].filter(({ metatype }) => metatype === ApiKeyCoreModule);
    if (imported.length > 1)
      throw new Error(
        'ApiKeyModule: it is imported twice with different options; import it once, in the root module.',
      );
    if (this.moduleRef.introspect(ApiKeyGuard).scope !== Scope.DEFAULT)
      throw new Error(
        'ApiKeyModule: what "inject" names depends on a request-scoped provider. Inject providers of the default scope only; ' +
          'loadUser may look up others itself.',
      );
    const requests = requestPrototype(this.host);
    if (requests) exposeThrough(requests);
  }
}

/** What the requests of an Express application inherit from, which is its own; undefined where there is none. */
function requestPrototype({ httpAdapter }: Partial<HttpAdapterHost>): object | undefined {
  if (httpAdapter?.getType() !== 'express') return undefined;
  return httpAdapter.getInstance<{ readonly request?: object }>().request;
}

/** Authentication by API key for the whole application: import it once, and its guards work in every module. */
@Module({})
export class ApiKeyModule {
  /** @throws Error where an option is wrong, which stops the boot */
  static forRoot(options: ApiKeyRootOptions = {}): DynamicModule {
    const resolved = resolveOptions(options);
    return wire(options.dataSource, [], { provide: API_KEY_OPTIONS, useValue: resolved });
  }

  /** The boot stops where the factory fails or answers a wrong option. */
  static forRootAsync({
    dataSource,
    imports = [],
    inject = [],
    useFactory,
  }: ApiKeyAsyncOptions): DynamicModule {
    return wire(dataSource, imports, {
      provide: API_KEY_OPTIONS,
      inject,
      useFactory: async (...injected: unknown[]) => resolveOptions(await useFactory(...injected)),
    });
  }
}

function wire(
  dataSource: DataSource | string | undefined,
  imports: NonNullable<ModuleMetadata['imports']>,
  options: Provider,
): DynamicModule {
  const core: DynamicModule = {
    module: ApiKeyCoreModule,
    imports: [...imports, DiscoveryModule, ...entityImports(dataSource)],
    providers: [
      options,
      dataSourceProvider(dataSource),
      made(API_KEY_DATABASE, [API_KEY_DATA_SOURCE], (source: DataSource) => new Database(source)),
      ApiKeyService,
      ApiKeyGuard,
      ApiKeyThrottlerGuard,
      ScopesGuard,
      ApiKeyAuthenticator,
      ApiKeyHealthIndicator,
      KeyVerifier,
      RefusalDelay,
      PlaintextKeys,
      Revocations,
      KeyUses,
      BootCheck,
      RouteInventory,
      Announcer,
      made(Trail, [API_KEY_DATABASE], (database: Database) => new Trail(database)),
      made(
        ChangeTrail,
        [API_KEY_DATABASE, Trail, Announcer, API_KEY_OPTIONS, Verification],
        (
          database: Database,
          trail: Trail,
          announcer: Announcer,
          { audit }: ResolvedApiKeyOptions,
          verification: Verification,
        ) => new ChangeTrail(database, trail, announcer, audit.changes, (id) => verification.evict(id)),
      ),
      made(
        KeyChanges,
        [ChangeTrail, DefaultLimits, API_KEY_OPTIONS],
        (changes: ChangeTrail, { rates }: DefaultLimits, { rateLimit }: ResolvedApiKeyOptions) =>
          new KeyChanges(changes, rates, rateLimit.windowSeconds),
      ),
      made(
        KeyDigests,
        [API_KEY_OPTIONS],
        ({ pepper }: ResolvedApiKeyOptions) => new KeyDigests(pepper ?? UNPEPPERED),
      ),
      made(
        RequestTrail,
        [API_KEY_OPTIONS, Trail, Announcer],
        ({ audit }: ResolvedApiKeyOptions, trail: Trail, announcer: Announcer) =>
          new RequestTrail(audit, trail, announcer),
      ),
      made(
        KeyStore,
        [API_KEY_DATABASE, API_KEY_OPTIONS],
        (database: Database, { lookUpTimeoutMs }: ResolvedApiKeyOptions) =>
          new KeyStore(database, lookUpTimeoutMs),
      ),
      made(DigestWriter, [API_KEY_DATABASE], (database: Database) => new DigestWriter(database)),
      PepperCheck,
      DeadlineCheck,
      made(
        Verification,
        [API_KEY_DATABASE, KeyStore, API_KEY_OPTIONS],
        (database: Database, store: KeyStore, resolved: ResolvedApiKeyOptions) =>
          new Verification(database, store, resolved),
      ),
      made(
        OwnerLoader,
        [API_KEY_OPTIONS, Verification],
        (resolved: ResolvedApiKeyOptions, { owners }: Verification) => new OwnerLoader(resolved, owners),
      ),
      made(
        SecureTransport,
        [API_KEY_OPTIONS],
        (resolved: ResolvedApiKeyOptions) => new SecureTransport(resolved),
      ),
      made(
        RateLimiter,
        [API_KEY_OPTIONS, API_KEY_DATA_SOURCE, { token: getStorageToken(), optional: true }],
        ({ rateLimit }: ResolvedApiKeyOptions, source: DataSource, throttlers?: ThrottlerStorage) =>
          new RateLimiter(storageOf(rateLimit.storage, source, throttlers ?? null), rateLimit),
      ),
      made(
        QuotaLimiter,
        [API_KEY_OPTIONS, API_KEY_DATABASE],
        ({ rateLimit }: ResolvedApiKeyOptions, database: Database) =>
          new QuotaLimiter(new QuotaStorage(database), rateLimit),
      ),
      made(
        UsageCounter,
        [API_KEY_DATABASE, API_KEY_OPTIONS],
        (database: Database, resolved: ResolvedApiKeyOptions) => new UsageCounter(database, resolved),
      ),
      made(
        FailedAttempts,
        [API_KEY_OPTIONS],
        ({ failedAttempts }: ResolvedApiKeyOptions) => new FailedAttempts(failedAttempts),
      ),
      made(
        DefaultLimits,
        [API_KEY_OPTIONS, { token: getOptionsToken(), optional: true }],
        ({ rateLimit }: ResolvedApiKeyOptions, throttlers?: ThrottlerModuleOptions) =>
          new DefaultLimits(defaultLimits(rateLimit, throttlers ?? null)),
      ),
      made(
        KeyLimits,
        [API_KEY_OPTIONS, DefaultLimits, RouteInventory],
        ({ rateLimit }: ResolvedApiKeyOptions, { limits }: DefaultLimits, inventory: RouteInventory) =>
          new KeyLimits(rateLimit, limits, () => inventory.classNames()),
      ),
      made(
        LastUsedWriter,
        [API_KEY_DATABASE, API_KEY_OPTIONS],
        (database: Database, { lastUsedIntervalMs }: ResolvedApiKeyOptions) =>
          new LastUsedWriter(database, lastUsedIntervalMs),
      ),
    ],
    exports: [
      API_KEY_OPTIONS,
      ApiKeyService,
      ApiKeyGuard,
      ApiKeyThrottlerGuard,
      ScopesGuard,
      ApiKeyAuthenticator,
      ApiKeyHealthIndicator,
      RateLimiter,
      QuotaLimiter,
      UsageCounter,
      KeyLimits,
      OwnerLoader,
      SecureTransport,
      PlaintextKeys,
      LastUsedWriter,
      RequestTrail,
    ],
  };
  return { module: ApiKeyModule, global: true, imports: [core], exports: [core] };
}

/** That of the options, else that of `ThrottlerModule` unless it is its own memory, else memory (null). */
function storageOf(
  own: ResolvedApiKeyOptions['rateLimit']['storage'],
  dataSource: DataSource,
  throttlers: ThrottlerStorage | null,
): ThrottlerStorage | null {
  if (own === 'memory') return null;
  if (own === 'postgres') return new PostgresThrottlerStorage(dataSource);
  return own ?? (throttlers instanceof ThrottlerStorageService ? null : throttlers);
}

function made(
  provide: InjectionToken,
  inject: NonNullable<FactoryProvider['inject']>,
  useFactory: FactoryProvider['useFactory'],
): Provider {
  return { provide, inject, useFactory };
}

function entityImports(dataSource: DataSource | string | undefined): DynamicModule[] {
  return dataSource instanceof DataSource ? [] : [TypeOrmModule.forFeature([ApiKey], dataSource)];
}

function dataSourceProvider(dataSource: DataSource | string | undefined): Provider {
  if (dataSource instanceof DataSource)
    return { provide: API_KEY_DATA_SOURCE, useFactory: () => withEntity(dataSource) };
  return { provide: API_KEY_DATA_SOURCE, inject: [getDataSourceToken(dataSource)], useFactory: withEntity };
}

function withEntity(dataSource: DataSource): DataSource {
  if (dataSource.hasMetadata(ApiKey)) return dataSource;
  throw new Error(
    'ApiKeyModule: the data source does not know the entity ApiKey. Add ApiKey to its "entities", or set autoLoadEntities: true.',
  );
}
