import type { DataSource } from 'typeorm';
import { ApiKey } from '../model/api-key.entity';

/** Name of the table of keys, unless the data source gives it another name. */
export const KEYS_TABLE = 'api_keys';

/** What gives the table of keys another name, for messages. */
export const OTHER_TABLE = "apiKeyEntity({ table: 'service_keys' }) in the entities of the data source";

/**
 * Longest name of the table of keys, in bytes. PostgreSQL cuts names after 63 bytes, and the
 * longest name that is made from it is that of an index.
 */
export const LONGEST_TABLE_NAME = 33;

/**
 * End of a name whose trigger function would have the name of the function that watches the users
 * of another table: `service_key_owners` beside `service_keys`.
 */
const OF_OWNERS = /_owners?$/i;

/**
 * Returns the name of the table of keys in a data source, as TypeORM names the table of its entity:
 * by `apiKeyEntity`, `entityPrefix` and the naming strategy.
 * @throws Error if the name is too long or ends in `_owners`, or if the data source has two
 *   entities of keys
 */
export function keysTableOf(dataSource: DataSource): string {
  const names = dataSource.entityMetadatas
    .filter(({ target }) => target === ApiKey)
    .map(({ tableName }) => tableName);
  if (names.length > 1)
    throw new Error(
      `nestjs-api-key: the data source has two entities of keys, for tables ${names.join(' and ')}: ` +
        'remove one of ApiKey and apiKeyEntity() from its entities, and use forFeature([apiKeyEntity(…)]) instead of forFeature([ApiKey])',
    );
  const name = names[0] ?? defaultName(dataSource);
  if (OF_OWNERS.test(name))
    throw new Error(
      `nestjs-api-key: the name of table ${name} must not end in _owner or _owners, because its triggers could replace those of another table of keys`,
    );
  if (Buffer.byteLength(name) <= LONGEST_TABLE_NAME) return name;
  throw new Error(
    `nestjs-api-key: the name of table ${name} is too long: at most ${LONGEST_TABLE_NAME} bytes, with the prefix of entityPrefix or the naming strategy`,
  );
}

/** Returns the name for a data source without the entity, for example one that only migrates. */
function defaultName({ namingStrategy, options }: DataSource): string {
  const name = namingStrategy.tableName(ApiKey.name, KEYS_TABLE);
  const { entityPrefix } = options;
  return entityPrefix ? namingStrategy.prefixTableName(entityPrefix, name) : name;
}

/**
 * Returns the name of an object of the library that belongs to a table of keys, such as
 * `service_key_events` for table `service_keys`. So two tables of keys in a schema share no object.
 * @param object the name beside a table `api_keys`
 */
export function objectName(table: string, object: string): string {
  if (object === KEYS_TABLE) return table;
  return object.replace('api_key', () => table.replace(/s$/i, ''));
}
