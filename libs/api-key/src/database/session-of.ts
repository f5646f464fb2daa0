import type { ClientBase } from 'pg';
import type { QueryRunner } from 'typeorm';
import { Session } from './session';
import { Tables } from './tables';

/** No limit of this side: a migration takes as long as it needs. */
const NO_LIMIT = 0;

/**
 * The connection of a query runner, in the transaction that the runner is in: for migrations, which
 * TypeORM gives a runner. What the runner itself returns comes through the application's parsers.
 */
export async function sessionOf(runner: QueryRunner): Promise<Session> {
  const client: ClientBase = await runner.connect();
  const { schema } = runner.connection.options as { readonly schema?: string };
  return new Session(client, new Tables(schema || null), NO_LIMIT);
}
