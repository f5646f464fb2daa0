import type { DynamicModule, INestApplication, Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ApiKey, ApiKeyModule, type ApiKeyOptions, ApiKeyService } from 'nestjs-api-key';
import { Client, type Pool } from 'pg';
import { DataSource } from 'typeorm';
import { endWithFile, once } from './end-with-file';
import { layered } from './layered';
import { until } from './until';

/**
 * An application on ground that is not ours: a database, a pool and a driver that others have set.
 */
export interface Ground {
  readonly app: INestApplication;
  readonly keys: ApiKeyService;
  readonly dataSource: DataSource;
  readonly url: string;
  close(): Promise<void>;
}

export interface GroundSettings {
  /** What the application says to TypeORM beside the connection string. */
  readonly typeorm?: object;
  /** What the application does with its data source before the library sees it. */
  readonly prepare?: (dataSource: DataSource) => unknown;
  readonly options?: ApiKeyOptions;
  readonly controllers?: Type[];
  readonly imports?: DynamicModule[];
  /** What the application does with itself before it listens. */
  readonly setUp?: (app: INestApplication) => unknown;
}

/** That of a busy machine. */
const PATIENT: ApiKeyOptions = { cache: { lookUpTimeoutMs: 10_000 } };

/** One connection for all statements, so that a test knows which one the library gets. */
export const ONE_CONNECTION = { extra: { max: 1 } };

/**
 * Neither caches nor writes by itself, so that a test sees each statement where it was asked for.
 */
export const UNCACHED: ApiKeyOptions = {
  cache: { size: 0 },
  audit: { refused: 'off' },
  usage: { requests: false, lastUsedIntervalMs: 3_600_000 },
};

/** Boots the library on ground that is not ours. */
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
      ApiKeyModule.forRoot(layered(PATIENT, options)),
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

/** The pool that TypeORM made. */
export function poolOf(dataSource: DataSource): Pool {
  return (dataSource.driver as unknown as { readonly master: Pool }).master;
}

/** Sets parameters for every later session of a database. */
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

/** Waits until an instance trusts what it remembers. */
export async function untilCached({ keys }: Pick<Ground, 'keys'>): Promise<void> {
  await until(() => keys.verificationStatus.leaseHeld);
}

/** The status of a request with a key. */
export async function statusOf(url: string, key?: string): Promise<number> {
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const response = await fetch(url, { headers });
  await response.arrayBuffer();
  return response.status;
}
