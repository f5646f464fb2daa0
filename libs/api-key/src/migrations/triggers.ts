import type { QueryRunner } from 'typeorm';
import type { TriggerSql } from '../database/feed-triggers';
import { text } from '../database/fields';
import { rows, withShortLock } from './sql';

/**
 * State of a trigger after `ENABLE TRIGGER ALL`. Rails runs this statement after it has loaded
 * fixtures.
 */
const ENABLED_FOR_ORIGIN = 'O';

/**
 * Name of the method that restores the missing objects of an already executed migration. The caller
 * of the method opens the transaction.
 */
export const RESTORE = Symbol('restore');

export interface Restoring {
  [RESTORE](runner: QueryRunner): Promise<void>;
}

export async function createTrigger(runner: QueryRunner, { create, enable }: TriggerSql): Promise<void> {
  await withShortLock(runner, `${create}; ${enable}`);
}

/**
 * Creates missing triggers. Restores the enabled state of triggers that `ENABLE TRIGGER ALL`
 * changed. A trigger that somebody disabled, or enabled only for replication, stays unchanged,
 * because this was done on purpose.
 * @param triggers the SQL of each trigger, by the name of the trigger
 */
export async function restoreTriggers(
  runner: QueryRunner,
  table: string,
  triggers: ReadonlyMap<string, TriggerSql>,
): Promise<void> {
  const states = await statesOf(runner, table);
  for (const [name, trigger] of triggers) {
    const state = states.get(name);
    if (state === undefined) await createTrigger(runner, trigger);
    else if (state === ENABLED_FOR_ORIGIN) await withShortLock(runner, trigger.enable);
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
