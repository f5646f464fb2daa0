import type { QueryRunner } from 'typeorm';
import { schemaOfKeys } from './table-name';

/** The name of the function that tells a change, in a quoted schema. */
export function tellFunction(schema: string): string {
  return `${schema}.nestjs_api_key_tell`;
}

/**
 * What a feed notifies by: the function that tells a change, or PostgreSQL's own before it is made.
 */
export async function notifyFunction(runner: QueryRunner): Promise<string> {
  const tell = tellFunction(await schemaOfKeys(runner));
  const [{ made }] = await runner.query('SELECT to_regprocedure($1) IS NOT NULL AS made', [
    `${tell}(text, text)`,
  ]);
  return made ? tell : 'pg_notify';
}
