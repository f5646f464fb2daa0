import { AS_TEXT, type Row } from './as-text';
import { STAY_OPEN } from './begin';
import { borrow, isInTransaction, unconnected } from './borrow';
import type { Database } from './database';
import {
  inWords,
  isInConflict,
  isNameUseless,
  isOfSession,
  isOfStatement,
  withMissingRight,
} from './error-codes';
import { type NamedStatement, namedOnce } from './names';
import { EQUALS } from './own-names';
import { filtered, isFiltered } from './row-security';
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
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL row_security = off; ${STAY_OPEN}`;

/**
 * A prepared statement that counts, of one row, straight on the pool of the driver. It is right in
 * READ COMMITTED only, and if no policy filters what it counts. Else it counts nothing, and is sent
 * again in a transaction in READ COMMITTED, where only a policy can be in its way. A session whose
 * role cannot count, or that is read-only, is replaced once. Without a name once a pooler showed
 * that it hands its sessions around.
 */
export class CountingStatement {
  private isNamed = true;
  /** Whether it is sent without a transaction of its own. */
  private isPlain = true;
  private readonly statement: () => NamedStatement;

  /** @param write the statement, with a WHERE that ends in `IS_READ_COMMITTED` */
  constructor(
    private readonly database: Database,
    name: string,
    write: (tables: Tables) => string,
  ) {
    this.statement = namedOnce(
      name,
      () => `${write(database.tables)} AND NOT ${areFiltered(database.tables)}`,
    );
  }

  /**
   * @param timeoutMs milliseconds after which nobody waits any more
   * @throws Error if PostgreSQL fails, or has not answered after twice that: the driver's clock goes
   *   on while this process is too busy to look, which a caller's own deadline forgives
   */
  async ask(values: readonly unknown[], timeoutMs: number): Promise<Row> {
    let isRenewed = false;
    for (let attempt = 1; ; attempt++) {
      const isPlain = this.isPlain;
      try {
        const row = await this.run(values, timeoutMs, isPlain);
        if (row) return row;
        this.isPlain = false;
      } catch (error) {
        if (isNameUseless(error) && this.isNamed) this.isNamed = false;
        else if (isOfSession(error) && !isRenewed) {
          isRenewed = true;
          this.isPlain = true;
        } else if (attempt >= ATTEMPTS || !(isInConflict(error) || error instanceof OfAnother))
          throw withMissingRight(inWords(error));
      }
    }
  }

  private async run(
    values: readonly unknown[],
    timeoutMs: number,
    isPlain: boolean,
  ): Promise<Row | undefined> {
    const { pool } = this.database;
    if (!pool) throw unconnected('the data source is closed');
    await this.database.locate();
    const { text, name } = this.statement();
    const { client, giveBack } = await borrow(pool, CONNECT_MS);
    const { isNamed } = this;
    const send = (query: TimedQuery) =>
      client.query<Row>({ ...query, types: AS_TEXT, query_timeout: 2 * timeoutMs } as TimedQuery);
    try {
      if (!isPlain) await send({ text: BEGIN });
      const { rows } = await send({ name: isNamed ? name : undefined, text, values: values.map(parameter) });
      if (isPlain && isInTransaction(client))
        throw new OfAnother('counted in the transaction of another borrower');
      if (!isPlain && rows.length === 0) throw uncounted(this.database.tables);
      if (!isPlain) await send({ text: 'COMMIT' });
      giveBack(null);
      return rows[0];
    } catch (error) {
      giveBack(isPlain && isOfStatement(error) && !isOfSession(error) ? null : (error as Error));
      throw error;
    }
  }
}

/** Another borrower's transaction, begun by a statement that it did not wait for, may take it back. */
class OfAnother extends Error {}

/** It counted nothing in READ COMMITTED. */
function uncounted({ windows, quotas }: Tables): Error {
  return filtered(`on ${windows} or ${quotas}, so that PostgreSQL counted nothing`);
}

function areFiltered({ windows, quotas }: Tables): string {
  return `(${isFiltered(windows)} OR ${isFiltered(quotas)})`;
}
