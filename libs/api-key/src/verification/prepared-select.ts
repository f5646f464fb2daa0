import type { Pool, PoolClient } from 'pg';
import type { DataSource } from 'typeorm';

/** A prepared statement that is none any more: the table changed its types (0A000), or the session is not ours alone. */
const STALE_PLAN = '0A000';
const POOLED_AWAY = ['26000', '42P05'];

/**
 * A SELECT of one row by one text, prepared once a connection, straight on the driver's pool: TypeORM's repository costs twice as
 * much. Given up after a deadline; a connection that did not answer is thrown away.
 */
export class PreparedSelect<Row extends object> {
  private version = 1;
  private named = true;

  constructor(
    private readonly dataSource: DataSource,
    private readonly deadlineMs: number,
    private readonly statement: () => string,
  ) {}

  /** @throws Error where PostgreSQL fails, or does not answer in time */
  async one(value: string): Promise<Row | null> {
    try {
      return await this.ask(value);
    } catch (error) {
      if (!this.prepareAnew(String((error as { code?: unknown }).code))) throw error;
      return this.ask(value);
    }
  }

  /** Whether a failure was about the prepared statement, and can be mended. */
  private prepareAnew(code: string): boolean {
    if (code === STALE_PLAN) this.version += 1;
    else if (this.named && POOLED_AWAY.includes(code)) this.named = false;
    else return false;
    return true;
  }

  private ask(value: string): Promise<Row | null> {
    return new Promise((resolve, reject) => {
      let late = false;
      let client: PoolClient | undefined;
      const deadline = setTimeout(() => {
        late = true;
        client?.release(true);
        const error = new Error(`PostgreSQL did not answer within ${this.deadlineMs} ms`);
        reject(Object.assign(error, { code: 'ETIMEDOUT' }));
      }, this.deadlineMs);
      this.query(
        value,
        (taken) => {
          if (late) taken.release();
          else client = taken;
          return !late;
        },
        (taken, failed) => {
          if (!late) taken.release(failed);
        },
      )
        .then(resolve, reject)
        .finally(() => clearTimeout(deadline));
    });
  }

  private async query(
    value: string,
    take: (client: PoolClient) => boolean,
    giveBack: (client: PoolClient, failed?: Error) => void,
  ): Promise<Row | null> {
    const client = await this.pool().connect();
    if (!take(client)) return null;
    try {
      const name = this.named ? `nestjs_api_key_${this.version}` : undefined;
      const { rows } = await client.query<Row>({ name, text: this.statement(), values: [value] });
      giveBack(client);
      return rows[0] ?? null;
    } catch (error) {
      giveBack(client, isOfStatement(error) ? undefined : (error as Error));
      throw error;
    }
  }

  private pool(): Pool {
    return (this.dataSource.driver as unknown as { readonly master: Pool }).master;
  }
}

/** PostgreSQL answered, so the connection is sound. */
function isOfStatement(error: unknown): boolean {
  return /^[0-9A-Z]{5}$/.test(String((error as { code?: unknown }).code));
}
