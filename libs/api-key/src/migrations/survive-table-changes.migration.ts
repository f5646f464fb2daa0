import type { MigrationInterface, QueryRunner } from 'typeorm';
import { FEED_FUNCTION } from '../database/feed-triggers';
import { spendTogether, takeTogether } from './count-together.migration';
import { takeFunction } from './limit-rates.migration';
import { spendFunction } from './meter-usage.migration';
import { existsInOwnSchema } from './own-schema';
import { feedTriggers } from './revocation-feed.migration';
import { functionExists, inTransaction, run } from './sql';
import { qualifiedName, schemaOfKeys, tableOf } from './table-name';
import { tellFunction } from './tell-function';
import { markFunction, replaceFeeds, tellFunctionIn } from './tell-silent-changes.migration';
import { RESTORE, type Restoring, restoreTriggers } from './triggers';

/**
 * Replaces all functions of the library in the database. Those of earlier versions counted in the
 * tables that the search path of the session led to. In sessions that had updated before, they
 * failed each change of a key once somebody changed the type of a column.
 */
export class SurviveTableChanges implements MigrationInterface, Restoring {
  readonly name = 'SurviveTableChanges1764720000000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await replaceFunctions(runner);
    });
  }

  /** Creates the triggers on a table of keys that stands in the place of another one. */
  async [RESTORE](runner: QueryRunner): Promise<void> {
    if (!(await existsInOwnSchema(runner, tableOf(runner)))) return;
    if (!(await functionExists(runner, `${await qualifiedName(runner, FEED_FUNCTION)}()`)))
      await replaceFunctions(runner);
    await restoreTriggers(runner, tableOf(runner), feedTriggers(runner));
  }

  /** Keeps the functions: they are right for the earlier versions as well. */
  async down(runner: QueryRunner): Promise<void> {
    await existsInOwnSchema(runner, tableOf(runner));
  }
}

/** All functions of the library, as this version has them. */
async function replaceFunctions(runner: QueryRunner): Promise<void> {
  const schema = await schemaOfKeys(runner);
  await run(runner, markFunction(schema));
  await run(runner, tellFunctionIn(schema));
  await replaceFeeds(runner, tellFunction(schema));
  for (const write of [takeFunction, spendFunction, takeTogether, spendTogether])
    await run(runner, await write(runner));
}
