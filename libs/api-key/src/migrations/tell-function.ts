import type { QueryRunner } from 'typeorm';
import { functionExists } from './sql';
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
  return (await functionExists(runner, `${tell}(text, text)`)) ? tell : 'pg_notify';
}
