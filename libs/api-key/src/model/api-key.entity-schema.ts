import { EntitySchema, type EntitySchemaColumnOptions, getMetadataArgsStorage } from 'typeorm';
import { ApiKey } from './api-key.entity';

/** A name that needs no quotes in SQL. PostgreSQL cuts longer names of indexes and functions. */
const TABLE_NAME = /^[a-z_][a-z0-9_]{0,32}$/;

/** Options of the entity of keys. */
export interface ApiKeyEntityOptions {
  /**
   * Name of the table of keys, of lower-case letters, digits and `_`, at most 33 characters. The
   * other tables are named after it, such as `service_key_events`. Default `api_keys`.
   */
  table?: string;
}

/**
 * Returns the entity `ApiKey` with another table, for the option `entities` of a data source. Use
 * it instead of `ApiKey`, for example if your application has a table `api_keys` of its own. The
 * migrations of `apiKeyMigrations` then create this table. `getRepository(ApiKey)` still works.
 * @throws RangeError if an option is invalid or does not exist
 * @example
 * const dataSource = new DataSource({
 *   type: 'postgres',
 *   entities: [apiKeyEntity({ table: 'service_keys' })],
 *   migrations: apiKeyMigrations(),
 * });
 */
export function apiKeyEntity(options: ApiKeyEntityOptions = {}): EntitySchema<ApiKey> {
  const { table = 'api_keys', ...unknown } = options;
  const [name] = Object.keys(unknown);
  if (name !== undefined)
    throw new RangeError(`apiKeyEntity: there is no option "${name}"; the only option is table`);
  if (typeof table !== 'string' || !TABLE_NAME.test(table))
    throw new RangeError(
      'apiKeyEntity: option "table" must be a name of lower-case letters, digits and _, at most 33 characters',
    );
  const decorated = getMetadataArgsStorage();
  const columns = decorated
    .filterColumns(ApiKey)
    .map((column) => [column.propertyName, column.options as EntitySchemaColumnOptions]);
  return new EntitySchema<ApiKey>({
    name: ApiKey.name,
    target: ApiKey,
    tableName: table,
    synchronize: false,
    columns: Object.fromEntries(columns),
  });
}
