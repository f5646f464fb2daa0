import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { Client, Pool } from 'pg';
import type { DataSource } from 'typeorm';
import { ApiKey } from '../model/api-key.entity';
import { wordsOf } from '../model/error-words';
import { type Access, type Beginning, begin } from './begin';
import { type Borrowed, borrow, open, unconnected } from './borrow';
import { API_KEY_DATA_SOURCE } from './data-source';
import { isBroken, isInConflict, isOfOpenTransaction, isOfSession, withMissingRight } from './error-codes';
import { schemaOf } from './locate';
import { Session } from './session';
import { sideClient } from './side-client';
import { Tables, tablesOf } from './tables';
import { type Turn, Turns } from './turns';

/** Options of a transaction. */
export interface TransactionOptions {
  /** Purpose and lanes of the transaction. Default: a background write. */
  readonly turn?: Turn;
  /**
   * Milliseconds that a statement of a read or of a background write may wait for a lock. Default
   * 8,000.
   */
  readonly lockTimeoutMs?: number;
  /**
   * Milliseconds that the transaction may wait for its turn and for a connection. Afterwards, each
   * statement may run for the rest of this time. Default 10,000.
   */
  readonly deadlineMs?: number;
  /**
   * Whether the transaction may write. With `asked`, the transaction writes even if the database,
   * role or session is read-only by default. Use `asked` for a write that must not wait, such as
   * the revocation of a leaked key. Default: `default`, which keeps the setting of the session.
   */
  readonly access?: Access;
  /** Whether the transaction is rolled back at the end. Default false. */
  readonly isTrial?: boolean;
}

interface Attempt extends TransactionOptions {
  /** End of the time limit, in milliseconds on the clock of `performance.now`. */
  readonly endsAt: number;
}

type Work<T> = (session: Session) => Promise<T>;

const LOCK_TIMEOUT_MS = 8_000;
const DEADLINE_MS = 10_000;
/**
 * Milliseconds between the cancellation of a statement by PostgreSQL and the time-out in this
 * process. PostgreSQL cancels first, so that a retry does not write twice.
 */
const MARGIN_MS = 1_000;
const ATTEMPTS = 5;
/** Default maximum number of connections in a pool of `pg`. */
const POOL_MAX = 10;

const BACKGROUND: Turn = { kind: 'background', lanes: [] };
/** Turn of a read that concerns no single owner. */
const READ: Turn = { kind: 'read', lanes: [] };

/**
 * Runs the transactions of this library on PostgreSQL. The settings of server, role, database,
 * session, pool and driver do not change the results. Values are read as text, and names contain
 * their schema. A transaction runs in READ COMMITTED on the primary, with time limits for locks and
 * answers. If PostgreSQL aborts a transaction because of a conflict, the transaction is retried.
 * All transactions together use at most half of the pool.
 */
@Injectable()
export class Database implements BeforeApplicationShutdown, OnApplicationShutdown {
  private named: Tables | undefined;
  private isLocated = false;
  private readonly turns = new Turns(() => this.pool?.options?.max ?? POOL_MAX);

  constructor(@Inject(API_KEY_DATA_SOURCE) private readonly dataSource: DataSource) {}

  /** The quoted names of the tables. Available only after the data source is connected. */
  get tables(): Tables {
    this.named ??= tablesOf(this.dataSource);
    return this.named;
  }

  /**
   * Finds the schema of the tables, once.
   * @param find runs the search; default: in a transaction of its own
   * @throws the errors of `schemaOf`
   */
  async locate(
    find: <T>(work: Work<T>) => Promise<T> = (work) => this.run(work, { access: 'read' }),
  ): Promise<void> {
    if (this.isLocated) return;
    const { schema } = this.dataSource.getMetadata(ApiKey);
    if (!schema) {
      const first = this.dataSource.driver.schema ?? null;
      const { name } = this.tables;
      const found = await find((session) => schemaOf(session, name, first));
      if (found !== null) this.named = new Tables(found, name);
    }
    this.isLocated = true;
  }

  /** The pool of connections to the primary; undefined if the data source is closed. */
  get pool(): Pool | undefined {
    return (this.dataSource.driver as unknown as { readonly master?: Pool }).master;
  }

  /** Returns a new connection outside the pool, which is not yet opened. */
  sideClient(applicationName: string): Client {
    return sideClient(this.dataSource, applicationName);
  }

  beforeApplicationShutdown(): void {
    this.turns.close();
  }

  onApplicationShutdown(): void {
    this.turns.end();
  }

  /** Runs work in a read-only transaction. */
  read<T>(work: Work<T>, turn: Turn = READ): Promise<T> {
    return this.transaction(work, { access: 'read', turn });
  }

  /**
   * Runs work in a transaction when its turn comes. Retries all work if PostgreSQL aborts the
   * transaction because of a conflict. Retries once on a new connection if the session has a stale
   * plan, is read-only or lacks rights.
   */
  async transaction<T>(work: Work<T>, options: TransactionOptions = {}): Promise<T> {
    const endsAt = performance.now() + (options.deadlineMs ?? DEADLINE_MS);
    await this.locate();
    return this.turns.run(options.turn ?? BACKGROUND, endsAt, (lockTimeoutMs = options.lockTimeoutMs) =>
      this.run(work, { ...options, lockTimeoutMs }, endsAt),
    );
  }

  private async run<T>(
    work: Work<T>,
    options: TransactionOptions,
    endsAt: number = performance.now() + DEADLINE_MS,
  ): Promise<T> {
    const { deadlineMs = DEADLINE_MS } = options;
    let isNew = false;
    for (let attempt = 1; ; attempt++) {
      try {
        const borrowed = isNew
          ? await open(this.sideClient('nestjs-api-key'))
          : await this.borrow(deadlineMs);
        return await this.attempt(borrowed, work, { ...options, endsAt });
      } catch (error) {
        if (attempt === ATTEMPTS || !mayBeRetried(error, isNew)) throw withMissingRight(error);
        isNew ||= isOfSession(error);
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
    { lockTimeoutMs = LOCK_TIMEOUT_MS, access = 'default', isTrial = false, endsAt }: Attempt,
  ): Promise<T> {
    const leftMs = Math.floor(endsAt - performance.now());
    const session = new Session(client, this.tables, leftMs + MARGIN_MS);
    try {
      if (leftMs <= 0) throw unconnected('none was free in time');
      await beginOrNot(session, { lockTimeoutMs, statementTimeoutMs: leftMs, access });
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

/**
 * Error if a transaction could not begin, so that nothing was done. The connection was broken, or
 * another borrower left a BEGIN in progress on the connection.
 */
class NotBegun extends Error {}

async function beginOrNot(session: Session, beginning: Beginning): Promise<void> {
  try {
    await begin(session, beginning);
  } catch (error) {
    if (!isBroken(error) && !isOfOpenTransaction(error)) throw error;
    throw Object.assign(new NotBegun(wordsOf(error), { cause: error }), { code: 'ECONNRESET' });
  }
}

/**
 * Returns whether a failed transaction may be retried.
 * @param isNew whether the session was new; if a new session fails, every other session would fail
 *   too
 */
function mayBeRetried(error: unknown, isNew: boolean): boolean {
  return error instanceof NotBegun || isInConflict(error) || (isOfSession(error) && !isNew);
}

/**
 * Rolls back a failed transaction.
 * @returns why the connection must be closed, or null if the connection can be used again
 */
async function undo(session: Session, failure: unknown): Promise<Error | null> {
  const broken = () => new Error('the connection is broken', { cause: failure });
  if (!session.isUsable || isOfSession(failure)) return broken();
  try {
    await session.run('ROLLBACK');
    return null;
  } catch {
    return broken();
  }
}
