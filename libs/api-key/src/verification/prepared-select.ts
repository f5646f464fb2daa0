import type { Pool } from 'pg';
import type { DataSource } from 'typeorm';
import { type Eventually, inTime } from '../eventually';

/** A prepared statement that is none any more: the table changed its types (0A000), or the session is not ours alone. */
const STALE_PLAN = '0A000';
const POOLED_AWAY = ['26000', '42P05'];

/** How long a connection may take to answer before it is thrown away. */
const CONNECTION_PATIENCE_MS = 5_000;

/** One asking; `late` once nobody waits for it any more. */
interface Asking {
  late: boolean;
}

/**
 * A SELECT by one value, prepared once a connection, straight on the driver's pool: TypeORM's repository costs twice as
 * much. Given up after a deadline. The connection has longer: one that is only slow must not be opened anew each time, which a
 * busy database would never recover from.
 */
export class PreparedSelect<Row extends object> {
  private version = 1;
  private named = true;

  constructor(
    private readonly dataSource: DataSource,
    private readonly name: string,
    private readonly deadlineMs: number,
    private readonly statement: () => string,
  ) {}

  /**
   * @param sent called when a connection is free and the statement goes out
   * @throws Error where PostgreSQL fails, or does not answer in time
   */
  async rows(value: unknown, sent: () => void): Promise<readonly Row[]> {
    try {
      return await this.ask(value, sent);
    } catch (error) {
      if (!this.prepareAnew(String((error as { code?: unknown }).code))) throw error;
      return this.ask(value, sent);
    }
  }

  /** Whether a failure was about the prepared statement, and can be mended. */
  private prepareAnew(code: string): boolean {
    if (code === STALE_PLAN) this.version += 1;
    else if (this.named && POOLED_AWAY.includes(code)) this.named = false;
    else return false;
    return true;
  }

  private ask(value: unknown, sent: () => void): Eventually<readonly Row[]> {
    const asking: Asking = { late: false };
    return inTime(this.deadlineMs, this.query(value, asking, sent), () => {
      asking.late = true;
      const error = new Error(`PostgreSQL did not answer within ${this.deadlineMs} ms`);
      return Object.assign(error, { code: 'ETIMEDOUT' });
    });
  }

  private async query(value: unknown, asking: Asking, sent: () => void): Promise<readonly Row[]> {
    const client = await this.pool().connect();
    if (asking.late) {
      client.release();
      return [];
    }
    sent();
    client.on('error', toldByQuery);
    try {
      const { rows } = await client.query<Row>(this.queryFor(value));
      client.release();
      return rows;
    } catch (error) {
      client.release(isOfStatement(error) ? undefined : (error as Error));
      throw error;
    } finally {
      client.off('error', toldByQuery);
    }
  }

  private queryFor(value: unknown) {
    return {
      name: this.named ? `${this.name}_${this.version}` : undefined,
      text: this.statement(),
      values: [value],
      query_timeout: Math.max(this.deadlineMs, CONNECTION_PATIENCE_MS),
    };
  }

  private pool(): Pool {
    return (this.dataSource.driver as unknown as { readonly master: Pool }).master;
  }
}

/** PostgreSQL answered, so the connection is sound. */
function isOfStatement(error: unknown): boolean {
  return /^[0-9A-Z]{5}$/.test(String((error as { code?: unknown }).code));
}

/** A connection that breaks fails its query, and says so once more as an event, which unheard would end the process. */
function toldByQuery(): void {}
