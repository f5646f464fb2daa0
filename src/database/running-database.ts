import { runningEmbeddedPostgres } from '../embedded-postgres';
import { environment } from '../environment';

/**
 * The connection string of the database in use: `DATABASE_URL`, or that of the embedded one while the app runs.
 * @throws Error that says what to do where there is neither
 */
export async function runningDatabaseUrl(): Promise<string> {
  const { databaseUrl, dataDir } = environment(process.env);
  const url = databaseUrl ?? (await runningEmbeddedPostgres(dataDir));
  if (url) return url;
  throw new Error(
    `No database: set DATABASE_URL, or start the app (npm start), whose PostgreSQL in ${dataDir} can then be used.`,
  );
}
