import { randomBytes } from 'node:crypto';
import type { QueryResult } from 'pg';
import { hostileStatements } from './hostile';
import { runSql } from './sql-connections';
import { until } from './until';

/** Runs statements on a database and returns the rows of the last statement. */
export async function sql<Row = Record<string, unknown>>(
  url: string,
  text: string,
  values?: unknown[],
): Promise<Row[]> {
  const result: QueryResult | QueryResult[] = await runSql(url, text, values);
  return (Array.isArray(result) ? result.at(-1) : result).rows;
}

/** Creates a database without tables and returns its connection string. */
export async function createEmptyDatabase(name = uniqueName()): Promise<string> {
  await createDatabase(name);
  return urlOf(name);
}

/** Creates a database with all migrations and returns its connection string. */
export async function createMigratedDatabase(): Promise<string> {
  const name = uniqueName();
  await createDatabase(name, 'migrated_template');
  for (const statement of hostileStatements(name)) await sql(urlOf(name), statement);
  return urlOf(name);
}

/** Creates a user in a migrated database and returns the id. */
export async function createUser(url: string, email = `${uniqueName()}@example.com`): Promise<string> {
  const [user] = await sql<{ id: string }>(
    url,
    'INSERT INTO users (email, created_at, updated_at) VALUES ($1, now(), now()) RETURNING id',
    [email],
  );
  if (!user) throw new Error('no user was made');
  return user.id;
}

/**
 * Waits until PostgreSQL has closed the connections of all other clients, even connections of
 * clients that have ended.
 */
export async function untilAlone(url: string): Promise<void> {
  await until(async () => {
    const others = await sql(
      url,
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
    );
    return others.length === 0;
  });
}

/**
 * Creates a database with `STRATEGY FILE_COPY`, which takes half of the CPU time of the default
 * strategy `WAL_LOG`.
 */
async function createDatabase(name: string, template = 'template1'): Promise<void> {
  cleared ??= dropDatabasesOfFormerFiles();
  await cleared;
  await sql(serverUrl(), `CREATE DATABASE "${name}" TEMPLATE ${template} STRATEGY FILE_COPY`);
}

let cleared: Promise<void> | undefined;

/**
 * Drops databases that this Jest process created before, because hundreds of databases would fill
 * the memory. Skips databases with open sessions.
 */
async function dropDatabasesOfFormerFiles(): Promise<void> {
  const unused = await sql<{ name: string }>(
    serverUrl(),
    `SELECT datname AS name FROM pg_database d WHERE starts_with(datname, $1)
       AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)`,
    [prefixOfProcess()],
  );
  for (const { name } of unused) await sql(serverUrl(), `DROP DATABASE "${name}"`);
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
  return `${prefixOfProcess()}${randomBytes(8).toString('hex')}`;
}

function prefixOfProcess(): string {
  return `test_${process.pid}_`;
}
