import { runningEmbeddedPostgres } from '../embedded-postgres';
import { environment } from '../environment';

/**
 * Returns the connection string in `DATABASE_URL`. If it is not set, returns the connection string
 * of the embedded database of a running app.
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
