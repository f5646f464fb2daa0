import type { WatchUsersOptions } from './watch-users.migration';

/** Options for the creation of the table. If the table exists, only `watchUsers` applies. */
export interface ApiKeyMigrationOptions {
  /** Type of the owner column `user_id`. Default `bigint`. */
  ownerType?: 'bigint' | 'integer' | 'uuid' | 'text';
  /**
   * The users table, such as `users`. The owner column references its column `id` with `ON DELETE
   * CASCADE`. Default: no foreign key.
   */
  usersTable?: string;
  /**
   * Adds triggers to `usersTable`. If the row of a user changes or is deleted, every instance
   * evicts what `loadUser` returned. Needs `usersTable`, with the primary key `id`. Default: no
   * triggers. Users are then loaded again after `cache.userCacheMs`.
   */
  watchUsers?: boolean | WatchUsersOptions;
}
