import type { Provider } from '@nestjs/common';
import { getDataSourceToken } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { ApiKey } from '../model/api-key.entity';
import { API_KEY_DATA_SOURCE } from './data-source';
import { Database } from './database';

/**
 * Provides the data source of the keys, and the `Database` on this data source.
 * @param dataSource an instance, or the name of the data source in `TypeOrmModule`
 */
export function databaseProviders(dataSource: DataSource | string | undefined): Provider[] {
  return [
    dataSource instanceof DataSource
      ? { provide: API_KEY_DATA_SOURCE, useFactory: () => withEntity(dataSource) }
      : {
          provide: API_KEY_DATA_SOURCE,
          inject: [getDataSourceToken(dataSource)],
          useFactory: withEntity,
        },
    Database,
  ];
}

function withEntity(dataSource: DataSource): DataSource {
  if (dataSource.hasMetadata(ApiKey)) return dataSource;
  throw new Error(
    'ApiKeyModule: the data source does not know the entity ApiKey. Add ApiKey to its "entities", or set autoLoadEntities: true.',
  );
}
