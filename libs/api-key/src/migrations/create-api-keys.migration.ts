import type { MigrationInterface, QueryRunner } from 'typeorm';
import { sessionOf } from '../database/session-of';
import { adoptTable, completeTable, releaseTable } from './adopt-table';
import { CountTogether } from './count-together.migration';
import { createTable } from './create-table';
import { DisableKeys } from './disable-keys.migration';
import { LimitRates } from './limit-rates.migration';
import { ManageApiKeys } from './manage-api-keys.migration';
import { MeterUsage } from './meter-usage.migration';
import { type ApiKeyMigrationOptions, checkMigrationOptions } from './migration-options';
import { existsInOwnSchema } from './own-schema';
import { referenceUsers } from './reference-users.migration';
import { FeedRevocations } from './revocation-feed.migration';
import { inTransaction, run } from './sql';
import { SurviveTableChanges } from './survive-table-changes.migration';
import { tableOf } from './table-name';
import { readNote } from './table-note';
import { TellReplicatedInserts } from './tell-replicated-inserts.migration';
import { TellSilentChanges } from './tell-silent-changes.migration';
import { TraceLineage } from './trace-lineage.migration';
import { watchUsers } from './watch-users.migration';

/**
 * Returns the migrations of the table `api_keys`, for the option `migrations` of a data source.
 * They create the table, or adopt the table of a Rails app in place.
 * @throws RangeError if an option is invalid or does not exist
 */
export function apiKeyMigrations(options: ApiKeyMigrationOptions = {}): (new () => MigrationInterface)[] {
  checkMigrationOptions(options);
  const { ownerType = 'bigint', usersTable, watchUsers: watched = false } = options;
  const migrations = [
    createApiKeys({ ownerType, usersTable }),
    ManageApiKeys,
    FeedRevocations,
    LimitRates,
    MeterUsage,
    TraceLineage,
    CountTogether,
    TellSilentChanges,
    SurviveTableChanges,
    DisableKeys,
    TellReplicatedInserts,
  ];
  if (usersTable === undefined) return migrations;
  const watch = watched === true ? {} : watched || null;
  if (watch) migrations.push(watchUsers(usersTable, watch));
  return [...migrations, referenceUsers({ usersTable, ownerType }, watch)];
}

function createApiKeys(options: ApiKeyMigrationOptions): new () => MigrationInterface {
  return class CreateApiKeys implements MigrationInterface {
    readonly name = 'CreateApiKeys1763856000000';

    up(runner: QueryRunner): Promise<void> {
      return inTransaction(runner, () => createOrAdopt(runner, tableOf(runner), options));
    }

    down(runner: QueryRunner): Promise<void> {
      return inTransaction(runner, () => dropOrRelease(runner, tableOf(runner)));
    }
  };
}

/**
 * Creates, adopts or completes the table. The comment of a table contains the note of this library
 * in two cases. Another application on this database has migrated the table, or the table was
 * loaded from a dump.
 */
async function createOrAdopt(
  runner: QueryRunner,
  table: string,
  options: ApiKeyMigrationOptions,
): Promise<void> {
  if (!(await existsInOwnSchema(runner, table))) return createTable(runner, table, options);
  const note = await readNote(await sessionOf(runner), table);
  await (note ? completeTable(runner, table, note) : adoptTable(runner, table));
}

async function dropOrRelease(runner: QueryRunner, table: string): Promise<void> {
  if (!(await existsInOwnSchema(runner, table)))
    throw new Error('nestjs-api-key: there is no table api_keys that down can remove');
  const note = await readNote(await sessionOf(runner), table);
  if (!note) {
    throw new Error(
      'nestjs-api-key: the comment of table api_keys no longer says whether it was created or adopted, so nothing was ' +
        "removed. COMMENT ON TABLE api_keys IS '[nestjs-api-key: created]' allows down to drop the table.",
    );
  }
  if (note.origin === 'created') await run(runner, `DROP TABLE ${table}`);
  else await releaseTable(runner, table, note.zoneless);
}
