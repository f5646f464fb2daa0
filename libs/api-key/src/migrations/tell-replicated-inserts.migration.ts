import type { MigrationInterface, QueryRunner } from 'typeorm';
import { REPLICATED_INSERTS } from '../database/feed-triggers';
import { existsInOwnSchema } from './own-schema';
import { feedTrigger } from './revocation-feed.migration';
import { inTransaction, run } from './sql';
import { tableOf } from './table-name';
import { restoreTriggers } from './triggers';

/**
 * Creates the trigger that notifies instances of keys inserted by logical replication. The apply
 * worker fires no statement triggers. Without this trigger, a key that a client presented before
 * its row arrived stayed cached as unknown.
 */
export class TellReplicatedInserts implements MigrationInterface {
  readonly name = 'TellReplicatedInserts1765152000000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      const trigger = feedTrigger(runner, REPLICATED_INSERTS);
      await restoreTriggers(runner, tableOf(runner), new Map([[REPLICATED_INSERTS, trigger]]));
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await run(runner, `DROP TRIGGER IF EXISTS ${REPLICATED_INSERTS} ON ${tableOf(runner)}`);
    });
  }
}
