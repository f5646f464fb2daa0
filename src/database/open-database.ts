import { runMigrations } from 'nestjs-api-key';
import type { DataSource } from 'typeorm';
import { AppDataSource } from '../../ormconfig';

/**
 * Connects to a database and runs the pending migrations. Any number of instances may call this
 * function at the same time.
 * @param report receives a message if migrations were run
 */
export async function openDatabase(
  url: string,
  report: (line: string) => void = () => {},
): Promise<DataSource> {
  const dataSource = await new AppDataSource(url).initialize().catch(explain);
  try {
    const migrations = await runMigrations(dataSource);
    if (migrations.length > 0) report(`Database migrated: ${migrations.join(', ')}`);
    return dataSource;
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}

/** Names the setting of PgBouncer that lets it accept `statement_timeout` of `ormconfig.ts`. */
function explain(error: Error): never {
  const [, parameter] = /^unsupported startup parameter: (\w+)/.exec(error.message) ?? [];
  if (parameter === undefined) throw error;
  throw new Error(
    `The pooler of DATABASE_URL refuses the startup parameter ${parameter}. ` +
      `Set ignore_startup_parameters = ${parameter} in pgbouncer.ini, and the time-out itself on the role: ALTER ROLE … SET ${parameter}.`,
    { cause: error },
  );
}
