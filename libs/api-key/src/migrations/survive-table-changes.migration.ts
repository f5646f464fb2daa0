import type { MigrationInterface, QueryRunner } from 'typeorm';
import { FEED_FUNCTION } from '../database/feed-triggers';
import { spendTogether, takeTogether } from './count-together.migration';
import { EXPOSED_WITH_DISABLING } from './disable-keys.migration';
import { takeFunction } from './limit-rates.migration';
import { spendFunction } from './meter-usage.migration';
import { existsInOwnSchema } from './own-schema';
import { feedTriggers } from './revocation-feed.migration';
import { functionExists, inTransaction, run } from './sql';
import { qualifiedName, qualifier, tableOf } from './table-name';
import { tellFunction } from './tell-function';
import { markFunction, replaceFeeds, tellFunctionIn } from './tell-silent-changes.migration';
import { EXPOSED_WITH_LINEAGE } from './trace-lineage.migration';
import { RESTORE, type Restoring, restoreTriggers } from './triggers';

/**
 * Replaces all functions of the library in the database, because earlier versions had two faults.
 * First, the functions counted in the tables that the search path of the session found. Second,
 * after a column's type had changed, changes of keys failed in sessions that had changed a key
 * before.
 */
export class SurviveTableChanges implements MigrationInterface, Restoring {
  readonly name = 'SurviveTableChanges1764720000000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await replaceFunctions(runner, EXPOSED_WITH_LINEAGE);
    });
  }

  /**
   * Creates the missing triggers after another table has replaced the table of keys. Called after
   * all migrations have run.
   */
  async [RESTORE](runner: QueryRunner): Promise<void> {
    if (!(await existsInOwnSchema(runner, tableOf(runner)))) return;
    if (!(await functionExists(runner, `${await qualifiedName(runner, FEED_FUNCTION)}()`)))
      await replaceFunctions(runner, EXPOSED_WITH_DISABLING);
    await restoreTriggers(runner, tableOf(runner), feedTriggers(runner));
  }

  /** Keeps the functions, because they also work with earlier versions of the library. */
  async down(runner: QueryRunner): Promise<void> {
    await existsInOwnSchema(runner, tableOf(runner));
  }
}

/** Creates or replaces all functions of the library in the database. */
async function replaceFunctions(runner: QueryRunner, exposed: readonly string[]): Promise<void> {
  const qualify = await qualifier(runner);
  await run(runner, markFunction(qualify));
  await run(runner, tellFunctionIn(qualify));
  await replaceFeeds(runner, tellFunction(qualify), exposed);
  for (const write of [takeFunction, spendFunction, takeTogether, spendTogether])
    await run(runner, await write(runner));
}
