import type { PoolClient } from 'pg';
import { AS_TEXT, type Row } from './as-text';
import { codeOf, isInConflict, isNameUseless } from './error-codes';
import { type NamedStatement, namedOnce } from './names';

/** SQLSTATE of a prepared statement if the column types of its table have changed. */
const STALE_PLAN = '0A000';

/** A SELECT with one parameter, prepared once per connection. */
export class PreparedSelect {
  private version = 1;
  private isNamed = true;
  private readonly statement: () => NamedStatement;

  constructor(name: string, write: () => string) {
    this.statement = namedOnce(name, write);
  }

  /** The SQL text of the statement. */
  get text(): string {
    return this.statement().text;
  }

  /**
   * Sends the statement. Retries once after a conflict, or if the prepared statement is lost or
   * stale. A retry after a stale plan uses a new name, which another call may have set already.
   */
  send(
    client: PoolClient,
    value: unknown,
    answered: (error: Error | null, rows?: readonly Row[]) => void,
  ): void {
    const name = this.nameNow();
    client.query<Row>(this.query(name, value), (error, result) => {
      if (!error) answered(null, result.rows);
      else if (this.mends(name, error)) this.sendAgain(client, value, answered);
      else answered(error);
    });
  }

  private sendAgain(
    client: PoolClient,
    value: unknown,
    answered: (error: Error | null, rows?: readonly Row[]) => void,
  ): void {
    client.query<Row>(this.query(this.nameNow(), value), (error, result) =>
      error ? answered(error) : answered(null, result.rows),
    );
  }

  private query(name: string | null, value: unknown) {
    return { name: name ?? undefined, text: this.text, values: [value], types: AS_TEXT };
  }

  private mends(name: string | null, error: unknown): boolean {
    if (isInConflict(error)) return true;
    if (name === null) return false;
    if (isNameUseless(error)) this.isNamed = false;
    else if (codeOf(error) !== STALE_PLAN) return false;
    else if (name === this.nameNow()) this.version += 1;
    return true;
  }

  private nameNow(): string | null {
    return this.isNamed ? `${this.statement().name}_${this.version}` : null;
  }
}
