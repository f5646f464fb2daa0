import type { ClientBase } from 'pg';
import type { QueryRunner } from 'typeorm';
import { keysTableOf } from './keys-table';
import { Session } from './session';
import { Tables } from './tables';

/** No time limit in this process, because a migration may take long. */
const NO_LIMIT = 0;

/**
 * Returns the connection of a query runner, in the runner's open transaction. Use this connection
 * in migrations, because TypeORM passes a query runner to migrations. The runner's own `query`
 * would use the parsers of the application.
 */
export async function sessionOf(runner: QueryRunner): Promise<Session> {
  const client: ClientBase = await runner.connect();
  return new Session(client, migratedTables(runner), NO_LIMIT);
}

/**
 * Returns the tables that migrations create. Without a schema in the options of the data source,
 * PostgreSQL creates them in the first schema of the search path.
 */
export function migratedTables({ connection }: QueryRunner): Tables {
  const { schema } = connection.options as { readonly schema?: string };
  return new Tables(schema || null, keysTableOf(connection));
}
