import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumns, dropColumns } from './add-columns';
import { inTransaction } from './sql';
import { tableOf } from './table-name';

const COLUMNS = { disabled_at: 'timestamptz' } as const;

/** Adds the column that says since when a key is disabled. */
export class DisableKeys implements MigrationInterface {
  readonly name = 'DisableKeys1764806400000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await addColumns(runner, tableOf(runner), COLUMNS, null);
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, () => dropColumns(runner, tableOf(runner), COLUMNS));
  }
}
