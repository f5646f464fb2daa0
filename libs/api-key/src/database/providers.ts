import type { Provider } from '@nestjs/common';
import { getDataSourceToken } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { ApiKey } from '../model/api-key.entity';
import { API_KEY_DATA_SOURCE, isDataSource } from './data-source';
import { Database } from './database';
import { Joining } from './joining';

/**
 * Provides the data source of the keys, and the `Database` on this data source.
 * @param dataSource an instance, or the name of the data source in `TypeOrmModule`
 */
export function databaseProviders(dataSource: DataSource | string | undefined): Provider[] {
  return [
    typeof dataSource === 'object'
      ? { provide: API_KEY_DATA_SOURCE, useFactory: () => withEntity(dataSource) }
      : {
          provide: API_KEY_DATA_SOURCE,
          inject: [getDataSourceToken(dataSource)],
          useFactory: withEntity,
        },
    Database,
    Joining,
  ];
}

function withEntity(dataSource: DataSource): DataSource {
  const problem = problemOf(dataSource);
  if (problem === null) return dataSource;
  throw new Error(`ApiKeyModule: ${problem}.`);
}

/** Why a data source cannot be used. Its entities are known once it is connected. */
function problemOf(dataSource: DataSource): string | null {
  if (!isDataSource(dataSource))
    return 'option "dataSource" must be a DataSource of TypeORM, or the name of one in TypeOrmModule';
  if (!dataSource.isInitialized)
    return 'the data source is not connected: await dataSource.initialize() before the application starts';
  if (dataSource.hasMetadata(ApiKey)) return null;
  return 'the data source does not know the entity ApiKey: add ApiKey to its "entities", or set autoLoadEntities: true';
}
