import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumns, dropColumns } from './add-columns';
import { existsInOwnSchema } from './own-schema';
import { inTransaction } from './sql';
import { schemaOfKeys, tableOf } from './table-name';
import { tellFunction } from './tell-function';
import { replaceFeeds } from './tell-silent-changes.migration';
import { EXPOSED_WITH_LINEAGE } from './trace-lineage.migration';

/**
 * When a key was disabled, which key disabled it, and the expiry that it gets back. No foreign key,
 * because the row of the other key may be deleted before.
 */
const COLUMNS = {
  disabled_at: 'timestamptz',
  disabled_by_id: 'bigint',
  enabled_expires_at: 'timestamptz',
} as const;

/** The columns that a cached key exposes after this migration. */
export const EXPOSED_WITH_DISABLING = [...EXPOSED_WITH_LINEAGE, ...Object.keys(COLUMNS)];

/** Adds the columns of disabled keys. A change of them is notified to every instance. */
export class DisableKeys implements MigrationInterface {
  readonly name = 'DisableKeys1764806400000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await addColumns(runner, tableOf(runner), COLUMNS, null);
      await replaceFeeds(runner, tellFunction(await schemaOfKeys(runner)), EXPOSED_WITH_DISABLING);
    });
  }

  /** A disabled key stays expired. */
  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await replaceFeeds(runner, tellFunction(await schemaOfKeys(runner)), EXPOSED_WITH_LINEAGE);
      await dropColumns(runner, tableOf(runner), COLUMNS);
    });
  }
}
