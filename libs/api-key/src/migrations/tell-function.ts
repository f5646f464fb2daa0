import type { QueryRunner } from 'typeorm';
import { functionExists } from './sql';
import { type Qualify, qualifier } from './table-name';

/** Returns the name of the function that sends notifications of changes. */
export function tellFunction(qualify: Qualify): string {
  return qualify('nestjs_api_key_tell');
}

/**
 * Returns the name of the function that triggers call to send a notification. This is the function
 * of this library, or `pg_notify` if the library's function does not exist yet.
 */
export async function notifyFunction(runner: QueryRunner): Promise<string> {
  const tell = tellFunction(await qualifier(runner));
  return (await functionExists(runner, `${tell}(text, text)`)) ? tell : 'pg_notify';
}
