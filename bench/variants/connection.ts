/** Connections of one process: all of them together must stay below the 100 that PostgreSQL allows by default. */
export const POOL_SIZE = 5;

/** How every variant with TypeORM connects. */
export function connection(databaseUrl: string) {
  return { type: 'postgres', url: databaseUrl, poolSize: POOL_SIZE, retryAttempts: 0 } as const;
}
