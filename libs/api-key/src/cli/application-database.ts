import type { DataSource } from 'typeorm';
import { WrongCall } from './failures';

/** SQLSTATEs of a missing table and of a missing column. */
const MISSING = ['42P01', '42703'];

/** Whether PostgreSQL refused a statement because a table or column is missing. */
export function isMissing(error: unknown): boolean {
  return MISSING.includes(Object(error).code);
}

/** The name and address of the database, as the server knows them. */
export async function nameOfDatabase(dataSource: DataSource): Promise<string> {
  const [named] = await dataSource.query<{ database: string; address: string }[]>(
    `SELECT pg_catalog.current_database()::text AS database,
       COALESCE(pg_catalog.host(pg_catalog.inet_server_addr()) || ':' || pg_catalog.inet_server_port(), 'a local socket') AS address`,
  );
  return `database ${named?.database} at ${named?.address}`;
}

/** Finds users by the column `email` of table `users`. Creates no users. */
export async function findOwner(dataSource: DataSource, email: string): Promise<string | null> {
  const [user] = await dataSource
    .query<{ id: string }[]>('SELECT id::text AS id FROM users WHERE email = $1 ORDER BY users.id LIMIT 1', [
      email,
    ])
    .catch((error) => {
      if (!isMissing(error)) throw error;
      throw new WrongCall('there is no table users with columns id and email. Give --user-id <id>.');
    });
  return user?.id ?? null;
}
