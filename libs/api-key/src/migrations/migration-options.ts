import type { WatchUsersOptions } from './watch-users.migration';

/** How the table is created. If it exists already, only `watchUsers` applies. */
export interface ApiKeyMigrationOptions {
  /** Type of the owner column `user_id`. Default `bigint`. */
  ownerType?: 'bigint' | 'integer' | 'uuid' | 'text';
  /**
   * Table whose `id` the owner column references, `ON DELETE CASCADE`, such as `users`. Default:
   * none, no foreign key.
   */
  usersTable?: string;
  /**
   * Adds triggers to `usersTable`: if the row of a user changes or is deleted, every instance evicts
   * what `loadUser` returned. Needs `usersTable`, whose key is `id`. Default: no triggers; users are
   * loaded again after `cache.userCacheMs`.
   */
  watchUsers?: boolean | WatchUsersOptions;
}
