import type { DynamicModule, INestApplication, ModuleMetadata, Type } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKey, ApiKeyModule, type ApiKeyOptions, ApiKeyService } from 'nestjs-api-key';
import { AppDataSource } from '../../ormconfig';
import { endWithFile, once } from './end-with-file';
import { hostileOptions, leaveBehind } from './hostile';
import { layered } from './layered';

export const ADAPTERS = ['express', 'fastify'] as const;
export type Adapter = (typeof ADAPTERS)[number];

/**
 * An app under test, with the controllers of one scenario. The library guards these controllers.
 */
export interface TestApp {
  readonly app: INestApplication;
  readonly keys: ApiKeyService;
  readonly port: number;
  readonly url: string;
  close(): Promise<void>;
}

export interface TestAppSettings {
  readonly database: string;
  readonly adapter?: Adapter;
  readonly options?: ApiKeyOptions;
  readonly controllers?: Type[];
  readonly providers?: ModuleMetadata['providers'];
  readonly imports?: ModuleMetadata['imports'];
  /** Address on which the app listens. Default: 127.0.0.1. */
  readonly host?: string;
  /**
   * Milliseconds that a statement may wait for a connection. Default: the value of the sample app.
   */
  readonly connectTimeoutMs?: number;
  /** Whether ApiKeyModule is imported before TypeOrmModule. */
  readonly apiKeyModuleFirst?: boolean;
}

/**
 * Maximum number of connections that the server has not accepted yet, more than any test opens at
 * once. Above the default of Node (511), Linux resets connections if the server is too busy to
 * accept them.
 */
const BACKLOG = 4_096;

/**
 * Default options of test apps, for a machine that is busy with other tests. PostgreSQL may answer
 * late, so the look-up timeout is long. The caches and the rate-limit counters have room for only
 * 1,000 keys, because each app reserves this room. With the default of 100,000 keys, the counters
 * take half of the CPU time of a boot.
 */
export const MODEST: ApiKeyOptions = {
  cache: { lookUpTimeoutMs: 10_000, size: 1_000 },
  rateLimit: { maxKeys: 1_000 },
};

/** Options without statements in the background, for tests that count statements. */
export const QUIET: ApiKeyOptions = {
  audit: { refused: 'off' },
  usage: { lastUsedIntervalMs: 3_600_000, intervalMs: 3_600_000 },
  cache: { leaseMs: 60_000, heartbeatMs: 30_000, lookUpTimeoutMs: 60_000 },
};

/** Returns the modules of TypeORM and of the library for a test database. */
export function libraryModules(
  database: string,
  options: ApiKeyOptions = {},
  connectTimeoutMS?: number,
): DynamicModule[] {
  return [
    TypeOrmModule.forRootAsync({
      useFactory: () => ({ type: 'postgres', entities: [ApiKey], retryAttempts: 0 }),
      dataSourceFactory: async () => {
        const dataSource = new AppDataSource(database).setOptions({
          ...(connectTimeoutMS && { connectTimeoutMS }),
          ...hostileOptions(),
        });
        await dataSource.initialize();
        leaveBehind((dataSource.driver as unknown as { readonly master: unknown }).master);
        return dataSource;
      },
    }),
    ApiKeyModule.forRoot(layered(MODEST, options)),
  ];
}

/** Starts an app on a free port. */
export async function bootApp(settings: TestAppSettings): Promise<TestApp> {
  const { database, adapter = 'express', options, controllers = [], providers = [], imports = [] } = settings;
  const library = libraryModules(database, options, settings.connectTimeoutMs);
  if (settings.apiKeyModuleFirst) library.reverse();
  const module = await Test.createTestingModule({
    imports: [...library, ...imports],
    controllers,
    providers,
  }).compile();
  const app =
    adapter === 'fastify'
      ? module.createNestApplication(new FastifyAdapter())
      : module.createNestApplication();
  app.useLogger(false);
  try {
    const address = { port: 0, host: settings.host ?? '127.0.0.1', backlog: BACKLOG };
    await app.listen(address as unknown as number);
  } catch (error) {
    await app.close();
    throw error;
  }
  const { port } = app.getHttpServer().address();
  const close = once(() => app.close());
  endWithFile(close);
  return {
    app,
    keys: app.get(ApiKeyService),
    port,
    url: `http://127.0.0.1:${port}`,
    close,
  };
}
