import type { QueryRunner } from 'typeorm';
import { functionExists } from './sql';
import { schemaOfKeys } from './table-name';

/** The name of the function that sends a notification of a change, in a quoted schema. */
export function tellFunction(schema: string): string {
  return `${schema}.nestjs_api_key_tell`;
}

/**
 * The function that a feed notifies with: the function of this library or, if it does not exist
 * yet, `pg_notify`.
 */
export async function notifyFunction(runner: QueryRunner): Promise<string> {
  const tell = tellFunction(await schemaOfKeys(runner));
  return (await functionExists(runner, `${tell}(text, text)`)) ? tell : 'pg_notify';
}
