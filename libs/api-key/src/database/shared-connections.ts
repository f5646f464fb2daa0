import type { Pool, PoolClient } from 'pg';
import { isInTransaction, unconnected } from './borrow';
import type { Database } from './database';
import { inTime } from './deadline';
import { isBroken, isOfSession, isOfStatement } from './error-codes';

/**
 * A process that was frozen finds that its connections were closed, and an application may leave one
 * with a role that may not read. A statement that only reads is sent again on others.
 */
const MAX_DEPARTURES = 3;

/** How many askings go out in one statement at most. */
const MAX_TOGETHER = 100;

/** How long a connection that missed a deadline may still take to answer before it is thrown away. */
const PATIENCE_MS = 5_000;

/** How long an answer is waited for. */
export interface Patience {
  /** Milliseconds after which an asking is given up. */
  readonly deadlineMs: number;
  /** Milliseconds after that in which its connection may still answer, before it is thrown away. Default 5,000. */
  readonly patienceMs?: number;
}

/** Sends one statement for some values, and returns what cancels it, which never rejects. */
export type Send<Found> = (
  client: PoolClient,
  values: readonly string[],
  answered: (error: Error | null, found?: Found) => void,
) => () => Promise<void>;

interface Asking<Found> {
  readonly values: readonly string[];
  /** Called when the statement goes out. */
  readonly sent: () => void;
  readonly resolve: (found: Found) => void;
  readonly reject: (error: unknown) => void;
}

/** Askings that share a connection, and one statement on it. Who is late leaves. */
interface Group<Found> {
  readonly askings: Set<Asking<Found>>;
  /** The statement; null before it goes out, and once it is over. */
  underWay: { readonly client: PoolClient; readonly cancel: () => Promise<void> } | null;
  /** Whether one has left after it went out. */
  isLate: boolean;
  /** How often its statement was sent: again if the connection turned out to be broken. */
  departures: number;
}

/**
 * Hands askings to connections of TypeORM's pool. Those that come in one turn of the event loop go out in one statement, and where all
 * connections are taken, those that wait go out together on the next one that is free: the more there are, the less each costs. Straight
 * on the driver's pool and by callbacks, for TypeORM's repository costs twice as much, and each promise on the way some microseconds.
 */
export class SharedConnections<Found> {
  /** Those that wait for whichever connection of a pool is free first: however many are given up meanwhile, others take their place. */
  private readonly waiting = new WeakMap<Pool, Set<Group<Found>>>();
  /** Those that came in this turn of the event loop. */
  private gathering: Group<Found> | undefined;
  private readonly heard = new WeakSet<PoolClient>();

  constructor(
    private readonly database: Database,
    private readonly patience: Patience,
    private readonly send: Send<Found>,
  ) {}

  /**
   * What is found for some values and, where others went out with them, for theirs. Given up after a deadline. The connection has
   * longer: one that is only slow must not be opened anew each time, which a busy database would never recover from.
   * @param sent called when a connection is free and the statement goes out
   * @throws Error where PostgreSQL fails, or does not answer in time
   */
  find(values: readonly string[], sent: () => void): Promise<Found> {
    let leave = () => {};
    const answer = new Promise<Found>((resolve, reject) => {
      leave = this.ask({ values, sent, resolve, reject });
    });
    const { deadlineMs } = this.patience;
    return inTime(deadlineMs, answer, () => {
      leave();
      const error = new Error(`PostgreSQL did not answer within ${deadlineMs} ms`);
      return Object.assign(error, { code: 'ETIMEDOUT' });
    });
  }

  /** Answers what gives it up. */
  private ask(asking: Asking<Found>): () => void {
    const group = this.gathering ?? this.crowded() ?? this.gather();
    group.askings.add(asking);
    if (group.askings.size >= MAX_TOGETHER) this.gathering = undefined;
    return () => this.leave(group, asking);
  }

  /** A group that waits for a connection anyway, where there is none to have. */
  private crowded(): Group<Found> | undefined {
    const pool = this.database.pool;
    if (pool === undefined || hasRoom(pool)) return undefined;
    for (const group of this.waitingFor(pool)) if (group.askings.size < MAX_TOGETHER) return group;
    return undefined;
  }

  /** A new group, for all that come in this turn of the event loop. */
  private gather(): Group<Found> {
    const group: Group<Found> = { askings: new Set(), underWay: null, isLate: false, departures: 0 };
    this.gathering = group;
    setImmediate(() => {
      if (this.gathering === group) this.gathering = undefined;
      this.connect(group);
    });
    return group;
  }

  private connect(group: Group<Found>): void {
    const pool = this.database.pool;
    if (pool === undefined) rejectAll(group, unconnected('the data source is closed'));
    else this.board(pool, group);
  }

  private board(pool: Pool, group: Group<Found>): void {
    const waiting = this.waitingFor(pool);
    if (!opensFor(pool)) waiting.add(group);
    pool.connect((error, client) => {
      waiting.delete(group);
      if (error || !client) rejectAll(group, unconnected(error));
      else if (group.askings.size === 0) client.release();
      else if (isInTransaction(client)) this.boardAnother(pool, group, client);
      else this.depart(group, client);
    });
  }

  /** A transaction that someone forgot would answer as of its beginning, or not at all. */
  private boardAnother(pool: Pool, group: Group<Found>, client: PoolClient): void {
    this.hear(client);
    client.release(new Error('given back within a transaction'));
    this.board(pool, group);
  }

  private waitingFor(pool: Pool): Set<Group<Found>> {
    const waiting = this.waiting.get(pool) ?? new Set();
    this.waiting.set(pool, waiting);
    return waiting;
  }

  private depart(group: Group<Found>, client: PoolClient): void {
    this.hear(client);
    group.departures += 1;
    for (const { sent } of group.askings) sent();
    const cancel = this.send(client, valuesOf(group), (failure, found) => {
      const error = failure ?? ofAnother(client);
      const isAgain = error !== null && this.mayDepartAgain(group, error);
      end(group, error && (isAgain || !isOfStatement(error)) ? error : undefined);
      if (isAgain) this.connect(group);
      else if (error) rejectAll(group, error);
      else for (const { resolve } of group.askings) resolve(found as Found);
    });
    group.underWay = { client, cancel };
  }

  /** Whether its statement is sent again, on another connection, to those who still wait. */
  private mayDepartAgain(group: Group<Found>, error: Error): boolean {
    if (group.underWay === null || group.askings.size === 0) return false;
    if (group.departures >= MAX_DEPARTURES) return false;
    return isBroken(error) || isOfSession(error) || error instanceof OfAnother;
  }

  /** The first one that leaves after its statement went out has it given up, in a while. */
  private leave(group: Group<Found>, asking: Asking<Found>): void {
    group.askings.delete(asking);
    if (group.isLate || group.underWay === null) return;
    group.isLate = true;
    setTimeout(() => void giveUp(group), this.patience.patienceMs ?? PATIENCE_MS).unref();
  }

  /** A connection that breaks fails its query, and says so once more as an event, which unheard would end the process. */
  private hear(client: PoolClient): void {
    if (this.heard.has(client)) return;
    this.heard.add(client);
    client.on('error', () => {});
  }
}

/** An answer as of the beginning of a transaction of someone else. */
class OfAnother extends Error {
  readonly code = 'ETRANSACTION';
}

/**
 * Another borrower may have given the connection back while it was still to begin a transaction.
 */
function ofAnother(client: PoolClient): Error | null {
  return isInTransaction(client) ? new OfAnother('answered in the transaction of another borrower') : null;
}

/** Gives its connection back, with an error to be thrown away. */
function end<Found>(group: Group<Found>, error?: Error): void {
  const { underWay } = group;
  group.underWay = null;
  underWay?.client.release(error);
}

/**
 * Cancels the statement, then throws its connection away. In this order: a pooler forwards no
 * CancelRequest of a client that has gone. Until then the connection stays ours, so that the
 * request cannot end a statement of someone else.
 */
async function giveUp<Found>(group: Group<Found>): Promise<void> {
  const { underWay } = group;
  if (underWay === null) return;
  group.underWay = null;
  await underWay.cancel();
  underWay.client.release(new Error('no answer long after the deadline'));
}

/** Whether an asking has a connection of its own to have: one that is idle, or is opened for it. */
function hasRoom(pool: Pool): boolean {
  return pool.idleCount > pool.waitingCount || pool.totalCount < pool.options.max;
}

/** Whether a connection is opened for the next who asks, who then waits for that one alone, however long it takes. */
function opensFor(pool: Pool): boolean {
  return pool.idleCount === 0 && pool.totalCount < pool.options.max;
}

function valuesOf<Found>({ askings }: Group<Found>): readonly string[] {
  const values = Array.from(askings, (asking) => asking.values);
  const [first = []] = values;
  return values.length === 1 ? first : [...new Set(values.flat())];
}

function rejectAll<Found>({ askings }: Group<Found>, error: unknown): void {
  for (const { reject } of askings) reject(error);
}
