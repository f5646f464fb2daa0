import { Redis } from 'ioredis';
import { type ApiKeyThrottlerStorage, PostgresThrottlerStorage, RedisThrottlerStorage } from 'nestjs-api-key';
import { createClient } from 'redis';
import { AppDataSource } from '../../ormconfig';

/** The rate-limit storage of one instance. Several instances share a database. */
export interface Instance {
  readonly storage: ApiKeyThrottlerStorage;
  close(): Promise<unknown> | unknown;
}

/**
 * Sets a long timeout of a storage for a busy machine. With a short timeout, a hit could time out
 * although the database counts the hit.
 */
export function patient<Storage extends PostgresThrottlerStorage | RedisThrottlerStorage>(
  storage: Storage,
): Storage {
  storage.waitAtLeast(60_000);
  return storage;
}

export async function postgresInstance(database: string): Promise<Instance> {
  const dataSource = await new AppDataSource(database).initialize();
  return { storage: patient(new PostgresThrottlerStorage(dataSource)), close: () => dataSource.destroy() };
}

export async function ioredisInstance(url: string): Promise<Instance> {
  const client = new Redis(url);
  return { storage: patient(new RedisThrottlerStorage(client)), close: () => client.disconnect() };
}

export async function nodeRedisInstance(url: string): Promise<Instance> {
  const client = createClient({ url });
  client.on('error', () => {});
  await client.connect();
  return { storage: patient(new RedisThrottlerStorage(client)), close: () => client.destroy() };
}
