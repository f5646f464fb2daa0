import { runMigrations } from 'nestjs-api-key';
import type { DataSource } from 'typeorm';
import { AppDataSource } from '../../ormconfig';
import { connectError } from '../start-errors';

/**
 * Connects to a database and runs the pending migrations. Any number of instances may call this
 * function at the same time.
 * @param report receives a message if migrations were run
 */
export async function openDatabase(
  url: string,
  report: (line: string) => void = () => {},
): Promise<DataSource> {
  const dataSource = await new AppDataSource(url).initialize().catch((error) => {
    throw connectError(error);
  });
  try {
    const migrations = await runMigrations(dataSource);
    if (migrations.length > 0) report(`Database migrated: ${migrations.join(', ')}`);
    return dataSource;
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}
