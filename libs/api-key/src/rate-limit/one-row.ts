import type { Pool, QueryConfig } from 'pg';
import type { DataSource } from 'typeorm';
import { type NamedStatement, namedOnce } from '../sql-name';

/** What a pooler that hands sessions around answers to a named statement: it knows none of it, or has one already. */
const POOLED_AWAY = ['26000', '42P05'];

/**
 * A prepared statement of one row, straight on the driver's pool; without a name from when a pooler showed that it hands its
 * sessions around.
 */
export class OneRow<Row extends object> {
  private isNamed = true;
  private readonly statement: () => NamedStatement;

  constructor(
    private readonly dataSource: DataSource,
    name: string,
    write: () => string,
  ) {
    this.statement = namedOnce(name, write);
  }

  /**
   * @param timeoutMs milliseconds after which nobody waits any more
   * @throws Error where PostgreSQL fails, or has not answered after twice that: the driver's clock goes on while this process is
   * too busy to look, which a caller's own deadline forgives
   */
  async ask(values: readonly unknown[], timeoutMs: number): Promise<Row> {
    const isNamed = this.isNamed;
    try {
      return await this.run(values, timeoutMs, isNamed);
    } catch (error) {
      if (!isNamed || !POOLED_AWAY.includes(String((error as { code?: unknown }).code))) throw error;
      this.isNamed = false;
      return this.run(values, timeoutMs, false);
    }
  }

  private async run(values: readonly unknown[], timeoutMs: number, isNamed: boolean): Promise<Row> {
    const { master } = this.dataSource.driver as unknown as { readonly master: Pool };
    const { text, name } = this.statement();
    const { rows } = await master.query<Row>({
      name: isNamed ? name : undefined,
      text,
      values: [...values],
      query_timeout: 2 * timeoutMs,
    } as QueryConfig);
    const [row] = rows;
    if (!row) throw new Error('PostgreSQL counted nothing');
    return row;
  }
}
