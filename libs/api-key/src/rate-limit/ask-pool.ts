import type { Pool, QueryConfig } from 'pg';
import type { DataSource } from 'typeorm';

const QUERY_TIMEOUT_MS = 1_000;

/**
 * The one row of a prepared statement, straight on the driver's pool.
 * @throws Error where PostgreSQL fails, or has not answered after a second
 */
export async function askPool<Row extends object>(
  { driver }: DataSource,
  query: Required<Pick<QueryConfig, 'name' | 'text' | 'values'>>,
): Promise<Row> {
  const { master } = driver as unknown as { readonly master: Pool };
  const { rows } = await master.query<Row>({ ...query, query_timeout: QUERY_TIMEOUT_MS } as QueryConfig);
  const [row] = rows;
  if (!row) throw new Error('PostgreSQL counted nothing');
  return row;
}
