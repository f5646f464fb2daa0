/**
 * Connections of one process. All processes together must stay below 100, the default limit of
 * PostgreSQL.
 */
export const POOL_SIZE = 5;

/** The TypeORM connection options of every variant. */
export function connection(databaseUrl: string) {
  return { type: 'postgres', url: databaseUrl, poolSize: POOL_SIZE, retryAttempts: 0 } as const;
}
