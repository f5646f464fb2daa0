import type { QueryRunner } from 'typeorm';
import { functionExists } from './sql';
import { schemaOfKeys } from './table-name';

/** Returns the name of the function that sends notifications of changes, in a quoted schema. */
export function tellFunction(schema: string): string {
  return `${schema}.nestjs_api_key_tell`;
}

/**
 * Returns the name of the function that triggers call to send a notification. This is the function
 * of this library, or `pg_notify` if the library's function does not exist yet.
 */
export async function notifyFunction(runner: QueryRunner): Promise<string> {
  const tell = tellFunction(await schemaOfKeys(runner));
  return (await functionExists(runner, `${tell}(text, text)`)) ? tell : 'pg_notify';
}
