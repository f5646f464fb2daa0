import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { hostileStatements, TRUSTED_CLIENT } from './hostile';
import { until } from './until';

/** Runs statements on a database and answers the rows of the last one. */
export async function sql<Row = Record<string, unknown>>(
  url: string,
  text: string,
  values?: unknown[],
): Promise<Row[]> {
  const client = new Client({ connectionString: url, ...TRUSTED_CLIENT });
  client.on('error', () => {}); // a server that is ended says so once more, after the answer
  await client.connect();
  try {
    const result = await client.query(text, values);
    return (Array.isArray(result) ? result.at(-1) : result).rows;
  } finally {
    await client.end();
  }
}

/** A new database without tables; its connection string. */
export async function createEmptyDatabase(name = uniqueName()): Promise<string> {
  await sql(serverUrl(), `CREATE DATABASE "${name}"`);
  return urlOf(name);
}

/** A new database as the migrations leave it; its connection string. */
export async function createMigratedDatabase(): Promise<string> {
  const name = uniqueName();
  await sql(serverUrl(), `CREATE DATABASE "${name}" TEMPLATE migrated_template`);
  for (const statement of hostileStatements(name)) await sql(urlOf(name), statement);
  return urlOf(name);
}

/** A user of a migrated database; its id. */
export async function createUser(url: string, email = `${uniqueName()}@example.com`): Promise<string> {
  const [user] = await sql<{ id: string }>(
    url,
    'INSERT INTO users (email, created_at, updated_at) VALUES ($1, now(), now()) RETURNING id',
    [email],
  );
  if (!user) throw new Error('no user was made');
  return user.id;
}

/** Waits until PostgreSQL has ended what the connections of others, dead ones too, were at. */
export async function untilAlone(url: string): Promise<void> {
  await until(async () => {
    const others = await sql(
      url,
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    );
    return others.length === 0;
  });
}

function serverUrl(): string {
  const url = process.env.TEST_POSTGRES_URL;
  if (!url) throw new Error('test/support/global-setup.ts did not run');
  return url;
}

function urlOf(name: string): string {
  const url = new URL(serverUrl());
  url.pathname = `/${name}`;
  return url.href;
}

function uniqueName(): string {
  return `test_${randomBytes(8).toString('hex')}`;
}
