import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addColumns, dropColumns } from './add-columns';
import { USAGE_COLUMNS } from './meter-usage.migration';
import { existsInOwnSchema } from './own-schema';
import { EXPOSED, feedFunction } from './revocation-feed.migration';
import { inTransaction, run } from './sql';
import { nameOf, tableOf } from './table-name';

/**
 * Columns for the ids of a key's ancestors, and for the limits that the key shares with its
 * ancestors. There are no foreign keys, because the row of an ancestor may be deleted first.
 */
const COLUMNS = { ancestor_ids: 'bigint[]', shared_limits: 'jsonb', bucket_id: 'bigint' } as const;

/** Columns that a cached key exposes before this migration. */
const EXPOSED_BEFORE = [...EXPOSED, ...USAGE_COLUMNS];
export const EXPOSED_WITH_LINEAGE = [...EXPOSED_BEFORE, ...Object.keys(COLUMNS)];

/**
 * Adds the lineage of keys, and an index that finds the descendants of a key. The index has no
 * pending list, because each search would read this list.
 */
export class TraceLineage implements MigrationInterface {
  readonly name = 'TraceLineage1764460800000';

  up(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      if (await addColumns(runner, tableOf(runner), COLUMNS, null))
        await run(
          runner,
          `CREATE INDEX ${nameOf(runner, 'index_api_keys_on_ancestor_ids')} ON ${tableOf(runner)} USING gin (ancestor_ids) WITH (fastupdate = off) WHERE ancestor_ids IS NOT NULL`,
        );
      await run(runner, await feedFunction(runner, EXPOSED_WITH_LINEAGE));
    });
  }

  down(runner: QueryRunner): Promise<void> {
    return inTransaction(runner, async () => {
      await existsInOwnSchema(runner, tableOf(runner));
      await run(runner, await feedFunction(runner, EXPOSED_BEFORE));
      await dropColumns(runner, tableOf(runner), COLUMNS);
    });
  }
}
