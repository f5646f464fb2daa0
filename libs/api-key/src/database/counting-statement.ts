import { AS_TEXT, type Row } from './as-text';
import { STAY_OPEN } from './begin';
import { borrow, unconnected } from './borrow';
import type { Database } from './database';
import { isInConflict, isNameUseless, isOfStatement } from './error-codes';
import { type NamedStatement, namedOnce } from './names';
import { EQUALS } from './own-names';
import { parameter, type TimedQuery } from './session';
import type { Tables } from './tables';

/**
 * Asks whether a statement runs in READ COMMITTED, whose default some database, role or session may
 * change.
 */
export const IS_READ_COMMITTED = `pg_catalog.current_setting('transaction_isolation') ${EQUALS} 'read committed'`;

/** A connection is waited for so long at most, beyond the deadline of any caller. */
const CONNECT_MS = 60_000;
/** How often PostgreSQL may end a statement in favour of another one. */
const ATTEMPTS = 5;

/**
 * A prepared statement that counts, of one row, straight on the pool of the driver. It is right in
 * READ COMMITTED only, and counts nothing in any other isolation: then it is sent again in a
 * transaction that asks for it. Without a name once a pooler showed that it hands its sessions
 * around.
 */
export class CountingStatement {
  private isNamed = true;
  private isIsolated = true;
  private readonly statement: () => NamedStatement;

  /** @param write the statement, with a WHERE that ends in `IS_READ_COMMITTED` */
  constructor(
    private readonly database: Database,
    name: string,
    write: (tables: Tables) => string,
  ) {
    this.statement = namedOnce(name, () => write(database.tables));
  }

  /**
   * @param timeoutMs milliseconds after which nobody waits any more
   * @throws Error if PostgreSQL fails, or has not answered after twice that: the driver's clock goes
   *   on while this process is too busy to look, which a caller's own deadline forgives
   */
  async ask(values: readonly unknown[], timeoutMs: number): Promise<Row> {
    for (let attempt = 1; ; attempt++) {
      try {
        const row = await this.run(values, timeoutMs);
        if (row) return row;
        if (!this.isIsolated) throw new Error('PostgreSQL counted nothing');
        this.isIsolated = false;
      } catch (error) {
        if (isNameUseless(error) && this.isNamed) this.isNamed = false;
        else if (attempt >= ATTEMPTS || !isInConflict(error)) throw error;
      }
    }
  }

  private async run(values: readonly unknown[], timeoutMs: number): Promise<Row | undefined> {
    const { pool } = this.database;
    if (!pool) throw unconnected('the data source is closed');
    await this.database.locate();
    const { client, giveBack } = await borrow(pool, CONNECT_MS);
    const { isNamed, isIsolated } = this;
    const { text, name } = this.statement();
    const send = (query: TimedQuery) =>
      client.query<Row>({ ...query, types: AS_TEXT, query_timeout: 2 * timeoutMs } as TimedQuery);
    try {
      if (!isIsolated) await send({ text: `BEGIN ISOLATION LEVEL READ COMMITTED; ${STAY_OPEN}` });
      const { rows } = await send({ name: isNamed ? name : undefined, text, values: values.map(parameter) });
      if (!isIsolated) await send({ text: 'COMMIT' });
      giveBack(null);
      return rows[0];
    } catch (error) {
      giveBack(isIsolated && isOfStatement(error) ? null : (error as Error));
      throw error;
    }
  }
}
