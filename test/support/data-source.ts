import { ApiKey } from 'nestjs-api-key';
import { DataSource } from 'typeorm';

/** Connects the data source of an application whose only entity is the key. */
export function keysDataSource(url: string, more: object = {}): Promise<DataSource> {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [ApiKey],
    uuidExtension: 'pgcrypto',
    ...more,
  }).initialize();
}
