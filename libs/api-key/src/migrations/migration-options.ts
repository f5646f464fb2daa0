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
