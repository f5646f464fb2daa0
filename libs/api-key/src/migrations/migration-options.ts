import type { WatchUsersOptions } from './watch-users.migration';

/** What the table is to be where it does not exist yet; on a table that exists only `watchUsers` applies. */
export interface ApiKeyMigrationOptions {
  /** Type of the owner column `user_id`. Default `bigint`. */
  ownerType?: 'bigint' | 'integer' | 'uuid' | 'text';
  /** Table whose `id` the owner column references, `ON DELETE CASCADE`, such as `users`. Default: none, no foreign key. */
  usersTable?: string;
  /**
   * Triggers on `usersTable`, on a table of keys that exists too: what `loadUser` returned is forgotten in every instance when the
   * row of the user changes or goes. Needs `usersTable`, whose key is `id`. Default: none; users are asked again after `cache.userCacheMs`.
   */
  watchUsers?: boolean | WatchUsersOptions;
}
