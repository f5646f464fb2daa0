import { OTHER_TABLE } from '../database/keys-table';
import {
  type Checks,
  isPlainObject,
  oneOf,
  problemsOf,
  rule,
  section,
  trueOrFalse,
  unknownOption,
} from '../options/checks';
import type { WatchUsersOptions } from './watch-users.migration';

/** Options of the migrations. If the table of keys exists, only `watchUsers` applies. */
export interface ApiKeyMigrationOptions {
  /** Type of the owner column `user_id`. Default `bigint`. */
  ownerType?: 'bigint' | 'integer' | 'uuid' | 'text';
  /**
   * Name of the users table, such as `users`. The owner column references the column `id` of this
   * table with `ON DELETE CASCADE`. Default: no foreign key.
   */
  usersTable?: string;
  /**
   * Adds triggers to `usersTable`. If the row of a user changes or is deleted, every instance
   * evicts the cached result of `loadUser`. Requires `usersTable`, whose primary key must be `id`.
   * Default: no triggers; users are loaded again after `cache.userCacheMs`.
   */
  watchUsers?: boolean | WatchUsersOptions;
}

const isName = (value: unknown) => typeof value === 'string' && value !== '' && !value.includes('\0');

const checkWatchedColumns = section<WatchUsersOptions>({
  ignore: rule((value) => Array.isArray(value) && Array.from(value).every(isName), 'a list of columns'),
});

const CHECKS: Checks<ApiKeyMigrationOptions> = {
  ownerType: oneOf('bigint', 'integer', 'uuid', 'text'),
  usersTable: rule(isName, 'the name of the users table'),
  watchUsers: (value, name) =>
    isPlainObject(value) ? checkWatchedColumns(value, name) : trueOrFalse(value, name),
};

function unknownMigrationOption(name: string): string {
  if (name === 'table') return `the name of the table is not an option here: set it with ${OTHER_TABLE}`;
  return unknownOption(name, 'the options', Object.keys(CHECKS));
}

/**
 * Checks the options of the migrations. A misspelt option must not pass: without its foreign key or
 * its triggers, keys would survive their owner.
 * @throws RangeError that names each invalid option and the values it accepts
 */
export function checkMigrationOptions(options: ApiKeyMigrationOptions): void {
  if (!isPlainObject(options)) throw new RangeError('apiKeyMigrations: the options must be a plain object');
  const problems = Object.entries(options).flatMap(([name, value]) =>
    Object.hasOwn(CHECKS, name) ? problemsOf(CHECKS, name, value) : [unknownMigrationOption(name)],
  );
  const { usersTable, watchUsers } = options;
  if (problems.length === 0 && watchUsers && usersTable === undefined)
    problems.push('option "watchUsers" needs option "usersTable", the table to watch');
  if (problems.length > 0) throw new RangeError(`apiKeyMigrations: ${problems.join('; ')}`);
}
