/**
 * Maximum number of connections of one process. All processes together must stay below 100, the
 * default limit of PostgreSQL.
 */
export const POOL_SIZE = 5;

/** Returns the TypeORM connection options that all variants use. */
export function connection(databaseUrl: string) {
  return { type: 'postgres', url: databaseUrl, poolSize: POOL_SIZE, retryAttempts: 0 } as const;
}
