import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { createEmptyDatabase } from './database';

/** A raw key of the Rails database, and what it could do there. */
export interface RailsKey {
  readonly id: string;
  readonly key: string;
  readonly userId: string;
  readonly email: string;
  readonly scopes: readonly string[];
  readonly expiresAt: string | null;
}

const FOLDER = join(__dirname, '../fixtures/rails');

/** The database as Rails leaves it, as plain SQL. */
export const RAILS_DUMP = readFileSync(join(FOLDER, 'api_keys.sql'), 'utf8');

export const RAILS_KEYS: readonly RailsKey[] = JSON.parse(
  readFileSync(join(FOLDER, 'api_keys.keys.json'), 'utf8'),
);

/** A new database as a Rails app leaves it; its connection string. */
export async function createRailsDatabase(): Promise<string> {
  const url = await createEmptyDatabase();
  await asRails(url, (client) => client.query(RAILS_DUMP));
  return url;
}

/** Does something on a connection as a Rails app with `default_timezone = :utc` sets it up. */
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
 * What `authenticate` of the Rails app answers on the table: blank is nobody, unknown is nobody, expired is nobody.
 * Rails reads its times as UTC, whether or not the column has a time zone.
 */
export async function railsAuthenticates(client: Client, digest: string): Promise<boolean> {
  const { rows } = await client.query(
    "SELECT expires_at < clock_timestamp() AT TIME ZONE current_setting('TimeZone') AS expired FROM api_keys WHERE key_digest = $1 LIMIT 1",
    [digest],
  );
  return rows.length > 0 && rows[0].expired !== true;
}
