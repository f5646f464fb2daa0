import type { QueryRunner } from 'typeorm';
import { enableAlways } from '../database/feed-triggers';
import { text } from '../database/fields';
import { rows, withShortLock } from './sql';

/** Of a trigger that `ENABLE TRIGGER ALL` turned on again, as Rails does behind its fixtures. */
const ENABLED_FOR_ORIGIN = 'O';

/** What a migration restores that is on record already; it needs no transaction of its own. */
export const RESTORE = Symbol('restore');

export interface Restoring {
  [RESTORE](runner: QueryRunner): Promise<void>;
}

/** @param create the SQL that creates it */
export async function createTrigger(
  runner: QueryRunner,
  table: string,
  name: string,
  create: string,
): Promise<void> {
  await withShortLock(runner, `${create}; ${enableAlways(name, table)}`);
}

/**
 * Creates the triggers that are missing, and has those fire always that are just enabled. One that
 * somebody disabled, or enabled for replication only, stays so: that was done on purpose.
 * @param triggers by name, each with the SQL that creates it
 */
export async function restoreTriggers(
  runner: QueryRunner,
  table: string,
  triggers: ReadonlyMap<string, string>,
): Promise<void> {
  const states = await statesOf(runner, table);
  for (const [name, create] of triggers) {
    const state = states.get(name);
    if (state === undefined) await createTrigger(runner, table, name, create);
    else if (state === ENABLED_FOR_ORIGIN) await withShortLock(runner, enableAlways(name, table));
  }
}

async function statesOf(runner: QueryRunner, table: string): Promise<ReadonlyMap<string, string>> {
  const found = await rows(
    runner,
    'SELECT tgname::text AS name, tgenabled::text AS state FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal',
    [table],
  );
  return new Map(found.map((row) => [text(row, 'name'), text(row, 'state')]));
}
