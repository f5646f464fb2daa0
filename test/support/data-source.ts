import { ApiKey } from 'nestjs-api-key';
import { DataSource } from 'typeorm';

/** Returns the connected data source of an application that has only keys. */
export function keysDataSource(url: string, more: object = {}): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    uuidExtension: 'pgcrypto',
    ...more,
  }).initialize();
}
