import type { Client, ClientConfig } from 'pg';
import type { DataSource } from 'typeorm';

const TIMEOUT_MS = 5_000;

/**
 * The parts of TypeORM's driver that this library uses: the pool, and the `pg` module that TypeORM
 * loaded. The password of the pool is not enumerable.
 */
interface PostgresParts {
  readonly master: { readonly options: ClientConfig };
  readonly postgres: { readonly Client: new (config: ClientConfig) => Client };
}

/** Returns a new connection to the primary outside the pool, which is not yet opened. */
export function sideClient({ driver }: DataSource, applicationName: string): Client {
  const { master, postgres } = driver as unknown as PostgresParts;
  const { options } = master;
  return new postgres.Client({
    ...options,
    password: options.password,
    ssl: options.ssl,
    keepAlive: true,
    connectionTimeoutMillis: TIMEOUT_MS,
    query_timeout: TIMEOUT_MS,
    application_name: applicationName,
  });
}
