import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { createEmptyDatabase } from './database';

/** A raw key of the Rails database, and the rights of this key in the Rails app. */
export interface RailsKey {
  readonly id: string;
  readonly key: string;
  readonly userId: string;
  readonly email: string;
  readonly scopes: readonly string[];
  readonly expiresAt: string | null;
}

const FOLDER = join(__dirname, '../fixtures/rails');

/** The database of a Rails app, as plain SQL. */
export const RAILS_DUMP = readFileSync(join(FOLDER, 'api_keys.sql'), 'utf8');

export const RAILS_KEYS: readonly RailsKey[] = JSON.parse(
  readFileSync(join(FOLDER, 'api_keys.keys.json'), 'utf8'),
);

/** Creates a database from the Rails dump and returns its connection string. */
export async function createRailsDatabase(): Promise<string> {
  const url = await createEmptyDatabase();
  await asRails(url, (client) => client.query(RAILS_DUMP));
  return url;
}

/** Runs `work` on a connection with the settings of a Rails app with `default_timezone = :utc`. */
export async function asRails<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query("SET time zone 'UTC'");
    return await work(client);
  } finally {
    await client.end();
  }
}

/**
 * Returns whether `authenticate` of the Rails app accepts a digest. `authenticate` refuses blank,
 * unknown and expired keys. Rails reads times as UTC, even if the column has no time zone.
 */
export async function railsAuthenticates(client: Client, digest: string): Promise<boolean> {
  const { rows } = await client.query(
    "SELECT expires_at < clock_timestamp() AT TIME ZONE current_setting('TimeZone') AS expired FROM api_keys WHERE key_digest = $1 LIMIT 1",
    [digest],
  );
  return rows.length > 0 && rows[0].expired !== true;
}
