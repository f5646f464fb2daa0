import { types } from 'node:util';
import type { ClientBase, QueryConfig, QueryResult } from 'pg';
import { AS_TEXT, type Row } from './as-text';
import { inWords, isOfStatement } from './error-codes';
import type { Tables } from './tables';
import { refuseCommit } from './unknown-outcome';

/** An option of a query that `pg` accepts, but that is missing in the types of `pg`. */
export interface TimedQuery extends QueryConfig {
  /**
   * Milliseconds after which this process fails the query. Do not use the connection afterwards.
   */
  readonly query_timeout?: number;
}

/** One connection, whose statements run one after the other. */
export class Session {
  /** Whether the connection may still be used. */
  isUsable = true;

  constructor(
    private readonly client: ClientBase,
    readonly tables: Tables,
    private readonly timeoutMs: number,
    private readonly name?: string,
  ) {}

  /**
   * Returns the same connection with a statement name. Each statement is prepared once under this
   * name.
   */
  named(name: string): Session {
    return new Session(this.client, this.tables, this.timeoutMs, name);
  }

  /**
   * Runs a statement, and returns its rows. Each column is text. If the text contains several
   * statements, only the rows of the last statement are returned.
   * @param values parameters, if the text contains only one statement
   */
  async rows(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return (await this.send(text, values)).rows;
  }

  /**
   * Returns the first row of a statement.
   * @throws Error if the statement returns no row
   */
  async row(text: string, values: readonly unknown[] = []): Promise<Row> {
    const [row] = await this.rows(text, values);
    if (row) return row;
    throw new Error('PostgreSQL returned no row');
  }

  /**
   * Runs a statement.
   * @returns the number of changed rows
   */
  async run(text: string, values: readonly unknown[] = []): Promise<number> {
    return (await this.send(text, values)).rowCount ?? 0;
  }

  /**
   * Commits the transaction.
   * @throws Error if PostgreSQL rolled back because an earlier statement had failed
   * @throws UnknownOutcome if the answer was lost
   */
  async commit(): Promise<void> {
    const { command } = await this.send('COMMIT', []).catch(refuseCommit);
    if (command !== 'COMMIT')
      throw new Error('PostgreSQL rolled the transaction back instead of committing it');
  }

  private async send(text: string, values: readonly unknown[]): Promise<QueryResult<Row>> {
    const parameters = values.map(parameter);
    const query: TimedQuery = {
      name: this.name,
      text,
      // Without values, `pg` uses the simple protocol, which accepts several statements at once.
      values: values.length > 0 ? parameters : undefined,
      types: AS_TEXT,
      query_timeout: this.timeoutMs,
    };
    try {
      const result: QueryResult<Row> | QueryResult<Row>[] = await this.client.query<Row>(query);
      return Array.isArray(result) ? (result.at(-1) as QueryResult<Row>) : result;
    } catch (error) {
      this.isUsable &&= isOfStatement(error);
      throw inWords(error);
    }
  }
}

/**
 * Returns a parameter in the form that PostgreSQL expects. Formats a Date here. Otherwise the
 * driver would use this machine's time zone or the application's settings.
 */
export function parameter(value: unknown): unknown {
  refuseNul(value);
  return types.isDate(value) ? value.toISOString() : value;
}

/**
 * Refuses a text with a NUL, as PostgreSQL does. `pg-native` would cut the text at the NUL, and the
 * rest could name another owner.
 * @throws Error with the SQLSTATE that PostgreSQL uses
 */
function refuseNul(value: unknown): void {
  if (Array.isArray(value)) for (const each of value) refuseNul(each);
  if (typeof value !== 'string' || !value.includes('\0')) return;
  throw Object.assign(new Error('a text has a NUL, which PostgreSQL cannot store'), { code: '22021' });
}
