import type { Client, Pool } from 'pg';
import type { DataSource } from 'typeorm';
import { ApiKey } from '../api-key.entity';
import { wordsOf } from '../error-words';
import type { Row } from './as-text';
import { type Beginning, begin } from './begin';
import { type Borrowed, borrow, open, unconnected } from './borrow';
import { isBroken, isInConflict, isOfSession } from './error-codes';
import { text } from './fields';
import { foreignSchema, quoteName } from './names';
import { Session } from './session';
import { sideClient } from './side-client';
import { Tables, tablesOf } from './tables';

/** How a transaction runs. */
export interface TransactionOptions {
  /** Milliseconds that a statement waits for a lock. Default 8,000. */
  readonly lockTimeoutMs?: number;
  /**
   * Milliseconds in which a connection must come; what is left of them is how long each statement
   * may take. Default 10,000.
   */
  readonly deadlineMs?: number;
  /** Whether nothing is written. Default false. */
  readonly isReadOnly?: boolean;
  /** Whether all is undone at the end. Default false. */
  readonly isTrial?: boolean;
}

interface Attempt extends TransactionOptions {
  /** On the clock of `performance.now`. */
  readonly endsAt: number;
}

type Work<T> = (session: Session) => Promise<T>;

const LOCK_TIMEOUT_MS = 8_000;
const DEADLINE_MS = 10_000;
/** PostgreSQL ends a statement before it is given up here, so that what is tried again was not made. */
const MARGIN_MS = 1_000;
const ATTEMPTS = 5;

/** What was found for data sources: each door to one leads to the same tables. */
const FOUND = new WeakMap<DataSource, Tables>();

/**
 * The one door to PostgreSQL. Whatever server, role, database, session, pool and driver are set to:
 * values are read as text, names have their schema, transactions are READ COMMITTED on the primary,
 * wait for locks and answers only so long, and are made again if PostgreSQL ends them in favour of
 * another one.
 */
export class Database {
  private named: Tables | undefined;
  private isLocated = false;

  constructor(private readonly dataSource: DataSource) {}

  /** The names of the tables, once the data source is connected. */
  get tables(): Tables {
    this.named ??= tablesOf(this.dataSource);
    return this.named;
  }

  /**
   * Finds the schema of the tables, once: that of the data source, or else the one that sessions of
   * its pool create tables in. What somebody sets in a session later does not change it.
   * @throws Error if the search path leads to another schema, which may be that of another tenant
   */
  async locate(): Promise<void> {
    if (this.isLocated) return;
    const { tablePath } = this.dataSource.getMetadata(ApiKey);
    if (!tablePath.includes('.')) await this.find(tablePath);
    this.isLocated = true;
  }

  private async find(tablePath: string): Promise<void> {
    this.named = FOUND.get(this.dataSource) ?? this.named;
    if (FOUND.has(this.dataSource)) return;
    const found = await this.run((session) => findTable(session, tablePath), { isReadOnly: true });
    for (const row of found) {
      const [schema, own] = [text(row, 'schema'), row.own ?? null];
      if (schema !== own) throw new Error(foreignSchema(schema, own));
      this.named = new Tables(`${schema}.${tablePath}`);
      FOUND.set(this.dataSource, this.named);
    }
  }

  /** The pool of connections to the primary; undefined if the data source is closed. */
  get pool(): Pool | undefined {
    return (this.dataSource.driver as unknown as { readonly master?: Pool }).master;
  }

  /** A connection beside the pool, not yet opened. */
  sideClient(applicationName: string): Client {
    return sideClient(this.dataSource, applicationName);
  }

  /** Reads in a transaction of its own. */
  read<T>(work: Work<T>): Promise<T> {
    return this.transaction(work, { isReadOnly: true });
  }

  /**
   * Runs work in a transaction; again as a whole if PostgreSQL ended it in favour of another one,
   * and on a new connection if a plan of its session does not fit the table any more.
   */
  async transaction<T>(work: Work<T>, options: TransactionOptions = {}): Promise<T> {
    await this.locate();
    return this.run(work, options);
  }

  private async run<T>(work: Work<T>, options: TransactionOptions): Promise<T> {
    const { deadlineMs = DEADLINE_MS } = options;
    const endsAt = performance.now() + deadlineMs;
    let connect = () => this.borrow(deadlineMs);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.attempt(await connect(), work, { ...options, endsAt });
      } catch (error) {
        if (attempt === ATTEMPTS || !mayBeRetried(error)) throw error;
        if (isOfSession(error)) connect = () => open(this.sideClient('nestjs-api-key'));
      }
    }
  }

  private async borrow(deadlineMs: number): Promise<Borrowed> {
    if (this.pool) return borrow(this.pool, deadlineMs);
    throw unconnected('the data source is closed');
  }

  private async attempt<T>(
    { client, giveBack }: Borrowed,
    work: Work<T>,
    { lockTimeoutMs = LOCK_TIMEOUT_MS, isReadOnly = false, isTrial = false, endsAt }: Attempt,
  ): Promise<T> {
    const leftMs = Math.floor(endsAt - performance.now());
    const session = new Session(client, this.tables, leftMs + MARGIN_MS);
    try {
      if (leftMs <= 0) throw unconnected('none was free in time');
      await beginOrNot(session, { lockTimeoutMs, statementTimeoutMs: leftMs, isReadOnly });
      const result = await work(session);
      if (isTrial) await session.run('ROLLBACK');
      else await session.commit();
      giveBack(null);
      return result;
    } catch (error) {
      giveBack(await undo(session, error));
      throw error;
    }
  }
}

/** Nothing was done yet on a connection that is broken before the first statement. */
class NotBegun extends Error {}

async function beginOrNot(session: Session, beginning: Beginning): Promise<void> {
  try {
    await begin(session, beginning);
  } catch (error) {
    if (!isBroken(error)) throw error;
    throw Object.assign(new NotBegun(wordsOf(error), { cause: error }), { code: 'ECONNRESET' });
  }
}

function mayBeRetried(error: unknown): boolean {
  return error instanceof NotBegun || isInConflict(error) || isOfSession(error);
}

function findTable(session: Session, name: string): Promise<readonly Row[]> {
  return session.rows(
    `SELECT nspname AS schema, current_schema() AS own FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = to_regclass($1)`,
    [quoteName(name)],
  );
}

/** @returns what makes the connection of no use; null: it is as it was */
async function undo(session: Session, failure: unknown): Promise<Error | null> {
  const broken = () => new Error('the connection is of no use any more', { cause: failure });
  if (!session.isUsable || isOfSession(failure)) return broken();
  try {
    await session.run('ROLLBACK');
    return null;
  } catch {
    return broken();
  }
}
