import type { ClientBase } from 'pg';
import type { QueryRunner } from 'typeorm';
import { Session } from './session';
import { Tables } from './tables';

/** No time limit in this process, because a migration may need long. */
const NO_LIMIT = 0;

/**
 * The connection of a query runner, in the runner's open transaction. Use it in migrations, because
 * TypeORM gives them a query runner. The runner's own `query` would use the parsers of the
 * application.
 */
export async function sessionOf(runner: QueryRunner): Promise<Session> {
  const client: ClientBase = await runner.connect();
  const { schema } = runner.connection.options as { readonly schema?: string };
  return new Session(client, new Tables(schema || null), NO_LIMIT);
}
