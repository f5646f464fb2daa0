import type { DynamicModule, INestApplication, Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKey, ApiKeyModule, type ApiKeyOptions, ApiKeyService } from 'nestjs-api-key';
import { Client, type Pool } from 'pg';
import { DataSource } from 'typeorm';
import { MODEST } from './app';
import { endWithFile, once } from './end-with-file';
import { layered } from './layered';
import { until } from './until';

/** An application with its own settings of the database, the pool and the driver. */
export interface Ground {
  readonly app: INestApplication;
  readonly keys: ApiKeyService;
  readonly dataSource: DataSource;
  readonly url: string;
  close(): Promise<void>;
}

export interface GroundSettings {
  /** Options of TypeORM in addition to the connection string. */
  readonly typeorm?: object;
  /** Prepares the data source before the library receives it. */
  readonly prepare?: (dataSource: DataSource) => unknown;
  readonly options?: ApiKeyOptions;
  readonly controllers?: Type[];
  readonly imports?: DynamicModule[];
  /** Prepares the application before it listens. */
  readonly setUp?: (app: INestApplication) => unknown;
}

/**
 * Options of TypeORM for a pool of one connection. The test then knows which connection the library
 * uses.
 */
export const ONE_CONNECTION = { extra: { max: 1 } };

/**
 * Options without a cache and without background writes. Each statement then belongs to the call
 * that sends the statement.
 */
export const UNCACHED: ApiKeyOptions = {
  cache: { size: 0 },
  audit: { refused: 'off' },
  usage: { requests: false, lastUsedIntervalMs: 3_600_000 },
};

/** Starts an application with its own database settings and the library. */
export async function bootOn(database: string, settings: GroundSettings = {}): Promise<Ground> {
  const { typeorm = {}, prepare = () => {}, options = {}, controllers = [], imports = [] } = settings;
  const dataSourceFactory = async () => {
    const dataSource = new DataSource({
      type: 'postgres',
      url: database,
      entities: [ApiKey],
      uuidExtension: 'pgcrypto',
      ...typeorm,
    });
    await dataSource.initialize();
    await prepare(dataSource);
    return dataSource;
  };
  const useFactory = () => ({ type: 'postgres' as const, entities: [ApiKey], retryAttempts: 0 });
  const module = await Test.createTestingModule({
    imports: [
      TypeOrmModule.forRootAsync({ useFactory, dataSourceFactory }),
      ApiKeyModule.forRoot(layered(MODEST, options)),
      ...imports,
    ],
    controllers,
  }).compile();
  const app = module.createNestApplication();
  app.useLogger(false);
  await settings.setUp?.(app);
  const close = once(() => app.close());
  try {
    await app.listen(0, '127.0.0.1');
  } catch (error) {
    await close();
    throw error;
  }
  endWithFile(close);
  const url = `http://127.0.0.1:${app.getHttpServer().address().port}`;
  return { app, keys: app.get(ApiKeyService), dataSource: app.get(DataSource), url, close };
}

/** Returns the pool that TypeORM created. */
export function poolOf(dataSource: DataSource): Pool {
  return (dataSource.driver as unknown as { readonly master: Pool }).master;
}

/** Sets parameters for all later sessions of a database. */
export async function alterDatabase(url: string, settings: Readonly<Record<string, string>>): Promise<void> {
  const name = new URL(url).pathname.slice(1);
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    for (const [parameter, value] of Object.entries(settings))
      await client.query(`ALTER DATABASE "${name}" SET ${parameter} = '${value}'`);
  } finally {
    await client.end();
  }
}

/** Waits until an instance has its lease, so that the instance may use its cache. */
export async function untilCached({ keys }: Pick<Ground, 'keys'>): Promise<void> {
  await until(() => keys.verificationStatus.leaseHeld);
}

/** Sends a request with a key and returns the status. */
export async function statusOf(url: string, key?: string): Promise<number> {
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const response = await fetch(url, { headers });
  await response.arrayBuffer();
  return response.status;
}
