import { types } from 'node:util';
import type { ClientBase, QueryConfig, QueryResult } from 'pg';
import { AS_TEXT, type Row } from './as-text';
import { inWords, isOfStatement } from './error-codes';
import type { Tables } from './tables';

/** What `pg` takes with a query and its types do not name. */
export interface TimedQuery extends QueryConfig {
  /** Milliseconds after which the query fails here; its connection is of no use then. */
  readonly query_timeout?: number;
}

/** One connection, for statements one after the other. */
export class Session {
  /** Whether the connection may still be used. */
  isUsable = true;

  constructor(
    private readonly client: ClientBase,
    readonly tables: Tables,
    private readonly timeoutMs: number,
    private readonly name?: string,
  ) {}

  /** The same connection; a statement on it is prepared under a name, once. */
  named(name: string): Session {
    return new Session(this.client, this.tables, this.timeoutMs, name);
  }

  /**
   * The rows of a statement, each column as text; of the last one if there are several.
   * @param values of its parameters, of a single statement
   */
  async rows(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return (await this.send(text, values)).rows;
  }

  /** The first row of a statement. @throws Error if there is none */
  async row(text: string, values: readonly unknown[] = []): Promise<Row> {
    const [row] = await this.rows(text, values);
    if (row) return row;
    throw new Error('PostgreSQL returned no row');
  }

  /** Runs a statement; how many rows it changed. */
  async run(text: string, values: readonly unknown[] = []): Promise<number> {
    return (await this.send(text, values)).rowCount ?? 0;
  }

  /** @throws Error if PostgreSQL rolled back instead, as it does after a statement that failed */
  async commit(): Promise<void> {
    const { command } = await this.send('COMMIT', []);
    if (command !== 'COMMIT')
      throw new Error('PostgreSQL rolled the transaction back instead of committing it');
  }

  private async send(text: string, values: readonly unknown[]): Promise<QueryResult<Row>> {
    const parameters = values.map(parameter);
    const query: TimedQuery = {
      name: this.name,
      text,
      // Without values it goes out by the simple protocol, which takes several statements at once.
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
 * The driver would write a Date in this machine's time zone, or as the application's settings say.
 */
export function parameter(value: unknown): unknown {
  refuseNul(value);
  return types.isDate(value) ? value.toISOString() : value;
}

/**
 * `pg-native` cuts a text at its NUL, and so may name another owner. PostgreSQL refuses it.
 * @throws Error with PostgreSQL's code of it
 */
function refuseNul(value: unknown): void {
  if (Array.isArray(value)) for (const each of value) refuseNul(each);
  if (typeof value !== 'string' || !value.includes('\0')) return;
  throw Object.assign(new Error('a text has a NUL, which PostgreSQL cannot store'), { code: '22021' });
}
