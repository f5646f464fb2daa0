import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumns, dropColumns } from './add-columns';
import { existsInOwnSchema } from './own-schema';
import { inTransaction } from './sql';
import { qualifier, tableOf } from './table-name';
import { tellFunction } from './tell-function';
import { replaceFeeds } from './tell-silent-changes.migration';
import { EXPOSED_WITH_LINEAGE } from './trace-lineage.migration';

/**
 * Columns for the time at which a key was disabled, the key that disabled it, and the expiry to
 * restore. There is no foreign key, because the row of the disabling key may be deleted first.
 */
const COLUMNS = {
  disabled_at: 'timestamptz',
  disabled_by_id: 'bigint',
  enabled_expires_at: 'timestamptz',
} as const;

/** Columns that a cached key exposes after this migration. */
export const EXPOSED_WITH_DISABLING = [...EXPOSED_WITH_LINEAGE, ...Object.keys(COLUMNS)];

/** Adds the columns of disabled keys. If these columns change, every instance is notified. */
export class DisableKeys implements MigrationInterface {
  readonly name = 'DisableKeys1764806400000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await addColumns(runner, tableOf(runner), COLUMNS, null);
      await replaceFeeds(runner, tellFunction(await qualifier(runner)), EXPOSED_WITH_DISABLING);
    });
  }

  /** Drops the columns of disabled keys. A disabled key stays expired. */
  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await replaceFeeds(runner, tellFunction(await qualifier(runner)), EXPOSED_WITH_LINEAGE);
      await dropColumns(runner, tableOf(runner), COLUMNS);
    });
  }
}
