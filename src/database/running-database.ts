import { runningEmbeddedPostgres } from '../embedded-postgres';
import { environment } from '../environment';

/**
 * Returns the connection string of `DATABASE_URL`, or of the embedded database if the app is
 * running.
 * @throws Error with instructions if there is no database
 */
export async function runningDatabaseUrl(): Promise<string> {
  const { databaseUrl, dataDir } = environment(process.env);
  const url = databaseUrl ?? (await runningEmbeddedPostgres(dataDir))?.appUrl;
  if (url) return url;
  throw new Error(
    `No database: set DATABASE_URL, or start the app (npm start), whose PostgreSQL in ${dataDir} can then be used.`,
  );
}
