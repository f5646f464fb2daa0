import { ApiKey } from 'nestjs-api-key';
import { DataSource } from 'typeorm';

/** The data source of an application that has keys and nothing else, connected. */
export function keysDataSource(url: string, more: object = {}): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    uuidExtension: 'pgcrypto',
    ...more,
  }).initialize();
}
