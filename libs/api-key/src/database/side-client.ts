import type { Client, ClientConfig } from 'pg';
import type { DataSource } from 'typeorm';

const TIMEOUT_MS = 5_000;

/** The parts of TypeORM's driver that we use: its pool, whose password does not enumerate, and the module it loaded. */
interface PostgresParts {
  readonly master: { readonly options: ClientConfig };
  readonly postgres: { readonly Client: new (config: ClientConfig) => Client };
}

/** A connection to the primary beside the pool, not yet opened. */
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
