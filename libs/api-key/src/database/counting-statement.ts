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
 * SQL that checks whether a statement runs in READ COMMITTED. The database, role or session may
 * have another default.
 */
export const IS_READ_COMMITTED = `pg_catalog.current_setting('transaction_isolation') ${EQUALS} 'read committed'`;

/**
 * Maximum milliseconds to wait for a connection. This wait is longer than the deadline of any
 * caller.
 */
const CONNECT_MS = 60_000;
/** Maximum number of attempts, if PostgreSQL aborts the statement because of a conflict. */
const ATTEMPTS = 5;
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL row_security = off; ${STAY_OPEN}`;

/**
 * A prepared statement that counts and returns one row. The statement runs directly on the driver's
 * pool, without BEGIN. The count is correct only in READ COMMITTED, and only if no policy filters
 * the counted rows. Otherwise the statement counts nothing, and is sent again in a READ COMMITTED
 * transaction. In this transaction, only a policy can prevent the count. If the session is
 * read-only or its role has no right to count, the statement is sent once more on another
 * connection. If a pooler gives each statement another session, later statements are sent without a
 * name.
 */
export class CountingStatement {
  private isNamed = true;
  /** Whether the statement is sent without BEGIN. */
  private isPlain = true;
  private readonly statement: () => NamedStatement;

  /** @param write returns the SQL; its WHERE clause must end in `IS_READ_COMMITTED` */
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
   * Sends the statement, and returns its row. The time limit is twice `timeoutMs`, because the
   * driver's clock also counts time in which this process is busy. A caller's deadline does not
   * count this time.
   * @param timeoutMs milliseconds after which the caller stops waiting
   * @throws Error if PostgreSQL fails, or does not answer within twice `timeoutMs`
   */
  async ask(values: readonly unknown[], timeoutMs: number): Promise<Row> {
    let isRenewed = false;
    for (let attempt = 1; ; attempt++) {
      const isPlain = this.isPlain;
      const isNamed = this.isNamed;
      try {
        const row = await this.run(values, timeoutMs, { isPlain, isNamed });
        if (row) return row;
        this.isPlain = false;
      } catch (error) {
        if (isNameUseless(error) && isNamed) this.isNamed = false;
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
    { isPlain, isNamed }: { readonly isPlain: boolean; readonly isNamed: boolean },
  ): Promise<Row | undefined> {
    const { pool } = this.database;
    if (!pool) throw unconnected('the data source is closed');
    await this.database.locate();
    const { text, name } = this.statement();
    const { client, giveBack } = await borrow(pool, CONNECT_MS);
    const send = (query: TimedQuery) =>
      client.query<Row>({ ...query, types: AS_TEXT, query_timeout: 2 * timeoutMs } as TimedQuery);
    try {
      if (!isPlain) await send({ text: BEGIN });
      const { rows } = await send({ name: isNamed ? name : undefined, text, values: values.map(parameter) });
      if (isPlain && isInTransaction(client))
        throw new OfAnother('counted inside a transaction of other code');
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

/** Error if the count ran in a transaction of another borrower, who may roll the count back. */
class OfAnother extends Error {}

/** Returns the error for a statement that counted nothing in READ COMMITTED. */
function uncounted({ windows, quotas }: Tables): Error {
  return filtered(`on ${windows} or ${quotas}, so that PostgreSQL counted nothing`);
}

function areFiltered({ windows, quotas }: Tables): string {
  return `(${isFiltered(windows)} OR ${isFiltered(quotas)})`;
}
