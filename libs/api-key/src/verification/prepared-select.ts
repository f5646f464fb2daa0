import type { Pool, PoolClient } from 'pg';
import type { DataSource } from 'typeorm';
import { type Eventually, inTime } from '../eventually';
import { sideClient } from './side-client';
import { StatementCanceller } from './statement-canceller';

/** A prepared statement that is none any more: the table changed its types (0A000), or the session is not ours alone. */
const STALE_PLAN = '0A000';
const POOLED_AWAY = ['26000', '42P05'];

/** How long a connection that missed a deadline may still take to answer before it is thrown away. */
const PATIENCE_MS = 5_000;

/** How long and how many may wait. */
export interface Patience {
  /** Milliseconds after which an asking is given up. */
  readonly deadlineMs: number;
  /** How many may wait for a connection, given up or not. */
  readonly maxWaiting: number;
  /** Milliseconds after the deadline after which the connection is thrown away. Default 5,000. */
  readonly patienceMs?: number;
}

/** One asking, and who waits for it. */
interface Asking<Row> {
  readonly value: unknown;
  /** Called when the statement goes out. */
  readonly sent: () => void;
  readonly resolve: (rows: readonly Row[]) => void;
  readonly reject: (error: unknown) => void;
  /** Whether nobody waits for it any more. */
  isLate: boolean;
  /** Throws the connection away on which it is under way. */
  giveUp: (() => void) | undefined;
  /** The name of the statement when it was sent last; null: none. */
  preparedAs: string | null;
  wasSentAgain: boolean;
}

/**
 * A SELECT by one value, prepared once a connection, straight on the driver's pool and by callbacks: TypeORM's repository costs
 * twice as much, and each promise on the way some microseconds. Given up after a deadline. The connection has longer: one that is
 * only slow must not be opened anew each time, which a busy database would never recover from.
 */
export class PreparedSelect<Row extends object> {
  private version = 1;
  private isNamed = true;
  private text: string | undefined;
  /** Askings that wait for a connection, late ones among them: the pool keeps them all. */
  private waiting = 0;
  private readonly heard = new WeakSet<PoolClient>();
  private readonly canceller: StatementCanceller;

  constructor(
    private readonly dataSource: DataSource,
    private readonly name: string,
    private readonly patience: Patience,
    private readonly statement: () => string,
  ) {
    this.canceller = new StatementCanceller(() => sideClient(dataSource, 'nestjs-api-key cancel'));
  }

  /**
   * @param sent called when a connection is free and the statement goes out
   * @throws Error where PostgreSQL fails, or does not answer in time
   */
  rows(value: unknown, sent: () => void): Eventually<readonly Row[]> {
    let asking: Asking<Row> | undefined;
    const answer = new Promise<readonly Row[]>((resolve, reject) => {
      asking = {
        value,
        sent,
        resolve,
        reject,
        isLate: false,
        giveUp: undefined,
        preparedAs: null,
        wasSentAgain: false,
      };
      this.connect(asking);
    });
    const { deadlineMs, patienceMs = PATIENCE_MS } = this.patience;
    return inTime(deadlineMs, answer, () => {
      if (asking) lose(asking, patienceMs);
      const error = new Error(`PostgreSQL did not answer within ${deadlineMs} ms`);
      return Object.assign(error, { code: 'ETIMEDOUT' });
    });
  }

  /** A late one gives its connection back in a turn of its own: the pool hands it on at once, and many would overflow the stack. */
  private connect(asking: Asking<Row>): void {
    if (this.waiting >= this.patience.maxWaiting) {
      asking.reject(new Error('too many look-ups wait for a connection'));
      return;
    }
    this.waiting += 1;
    this.pool().connect((error, client) => {
      this.waiting -= 1;
      if (error || !client) return asking.reject(error);
      if (!asking.isLate) return this.ask(asking, client);
      setImmediate(() => client.release());
      asking.resolve([]);
    });
  }

  private ask(asking: Asking<Row>, client: PoolClient): void {
    this.hear(client);
    const release = once((error?: Error) => client.release(error));
    const query = this.queryFor(asking);
    asking.giveUp = () => {
      release(new Error('no answer long after the deadline'));
      this.canceller.cancel(processOf(client), query.text);
    };
    asking.sent();
    client.query<Row>(query, (error, result) => {
      asking.giveUp = undefined;
      release(error && !isOfStatement(error) ? error : undefined);
      if (!error) asking.resolve(result.rows);
      else if (this.mayAskAgain(asking, error)) this.connect(asking);
      else asking.reject(error);
    });
  }

  /** Once, where the failure was about the prepared statement, and can be mended: another asking may have mended it by now. */
  private mayAskAgain(asking: Asking<Row>, error: unknown): boolean {
    const code = String((error as { code?: unknown }).code);
    if (asking.wasSentAgain || asking.preparedAs === null) return false;
    asking.wasSentAgain = true;
    if (POOLED_AWAY.includes(code)) this.isNamed = false;
    else if (code !== STALE_PLAN) return false;
    else if (asking.preparedAs === this.nameNow()) this.version += 1;
    return true;
  }

  private queryFor(asking: Asking<Row>) {
    this.text ??= this.statement();
    asking.preparedAs = this.nameNow();
    return { name: asking.preparedAs ?? undefined, text: this.text, values: [asking.value] };
  }

  private nameNow(): string | null {
    return this.isNamed ? `${this.name}_${this.version}` : null;
  }

  /** A connection that breaks fails its query, and says so once more as an event, which unheard would end the process. */
  private hear(client: PoolClient): void {
    if (this.heard.has(client)) return;
    this.heard.add(client);
    client.on('error', () => {});
  }

  private pool(): Pool {
    return (this.dataSource.driver as unknown as { readonly master: Pool }).master;
  }
}

/** Of the backend that serves a connection. */
function processOf(client: PoolClient): number {
  return (client as unknown as { readonly processID: number }).processID;
}

function lose(asking: Asking<never>, patienceMs: number): void {
  asking.isLate = true;
  if (asking.giveUp) setTimeout(() => asking.giveUp?.(), patienceMs).unref();
}

function once<T>(work: (value?: T) => void): (value?: T) => void {
  let isDone = false;
  return (value) => {
    if (isDone) return;
    isDone = true;
    work(value);
  };
}

/** PostgreSQL answered, and goes on with the connection: by class 57P it says that it ends it. */
function isOfStatement(error: unknown): boolean {
  return /^(?!57P)[0-9A-Z]{5}$/.test(String((error as { code?: unknown }).code));
}
