import type { Pool, PoolClient } from 'pg';
import { isInTransaction, unconnected } from './borrow';
import type { Database } from './database';
import { inTime } from './deadline';
import { isBroken, isOfSession, isOfStatement } from './error-codes';

/**
 * Maximum number of times that a statement is sent. The statement only reads, so it can be sent
 * again on another connection. A frozen process may find its connections closed. An application may
 * leave a connection with a role that may not read.
 */
const MAX_DEPARTURES = 3;

/** Maximum number of look-ups that share one statement. */
const MAX_TOGETHER = 100;

/** Milliseconds after a missed deadline in which the connection may still answer. */
const PATIENCE_MS = 5_000;

/** Time limits of a look-up. */
export interface Patience {
  /** Milliseconds after which a look-up fails. */
  readonly deadlineMs: number;
  /** Milliseconds between the deadline and the closing of the connection. Default 5,000. */
  readonly patienceMs?: number;
}

/**
 * Sends one statement for some values. Returns a function that cancels the statement without
 * rejecting.
 */
export type Send<Found> = (
  client: PoolClient,
  values: readonly string[],
  answered: (error: Error | null, found?: Found) => void,
) => () => Promise<void>;

interface Asking<Found> {
  readonly values: readonly string[];
  /** Called when the statement is sent. */
  readonly sent: () => void;
  readonly resolve: (found: Found) => void;
  readonly reject: (error: unknown) => void;
}

/** Look-ups that share one statement. Look-ups that timed out are removed. */
interface Group<Found> {
  readonly askings: Set<Asking<Found>>;
  /** The running statement; null before the statement is sent and after it has ended. */
  underWay: { readonly client: PoolClient; readonly cancel: () => Promise<void> } | null;
  /** Whether a look-up timed out after the statement was sent. */
  isLate: boolean;
  /** Number of times that the statement was sent. A broken connection causes another attempt. */
  departures: number;
}

/**
 * Sends look-ups on connections of TypeORM's pool. Look-ups of one turn of the event loop share one
 * statement. If no connection is free, more look-ups join the waiting statement. So under load,
 * each look-up costs less. Uses the driver's pool and callbacks, because TypeORM's repository takes
 * twice the time, and each promise takes some microseconds more.
 */
export class SharedConnections<Found> {
  /** Groups that wait for the first free connection of a pool. Look-ups may join these groups. */
  private readonly waiting = new WeakMap<Pool, Set<Group<Found>>>();
  /** The group that collects look-ups in the current turn of the event loop. */
  private gathering: Group<Found> | undefined;
  private readonly heard = new WeakSet<PoolClient>();

  constructor(
    private readonly database: Database,
    private readonly patience: Patience,
    private readonly send: Send<Found>,
  ) {}

  /**
   * Looks up some values. The result may also contain values of other look-ups in the statement.
   * After the deadline the look-up fails, but its connection has more time to answer. Otherwise a
   * slow database would always get new connections, and would never recover.
   * @param sent called when a connection is free and the statement is sent
   * @throws Error if PostgreSQL fails, or does not answer before the deadline
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

  /** Adds a look-up to a group. Returns a function that removes the look-up. */
  private ask(asking: Asking<Found>): () => void {
    const group = this.gathering ?? this.crowded() ?? this.gather();
    group.askings.add(asking);
    if (group.askings.size >= MAX_TOGETHER) this.gathering = undefined;
    return () => this.leave(group, asking);
  }

  /** Returns a group that already waits for a connection, if no connection of the pool is free. */
  private crowded(): Group<Found> | undefined {
    const pool = this.database.pool;
    if (pool === undefined || hasRoom(pool)) return undefined;
    for (const group of this.waitingFor(pool)) if (group.askings.size < MAX_TOGETHER) return group;
    return undefined;
  }

  /** Creates a group for all look-ups of this turn of the event loop. */
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

  /** Replaces a connection with an open transaction, which would return old rows, or fail. */
  private boardAnother(pool: Pool, group: Group<Found>, client: PoolClient): void {
    this.hear(client);
    client.release(new Error('released inside an open transaction'));
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

  /** Whether the statement may be sent again for the waiting look-ups, on another connection. */
  private mayDepartAgain(group: Group<Found>, error: Error): boolean {
    if (group.underWay === null || group.askings.size === 0) return false;
    if (group.departures >= MAX_DEPARTURES) return false;
    return isBroken(error) || isOfSession(error) || error instanceof OfAnother;
  }

  /**
   * Removes a look-up. If its statement runs, the first removal starts the timer that cancels the
   * statement.
   */
  private leave(group: Group<Found>, asking: Asking<Found>): void {
    group.askings.delete(asking);
    if (group.isLate || group.underWay === null) return;
    group.isLate = true;
    setTimeout(() => void giveUp(group), this.patience.patienceMs ?? PATIENCE_MS).unref();
  }

  /** Without this listener, the `error` event of a broken connection would end the process. */
  private hear(client: PoolClient): void {
    if (this.heard.has(client)) return;
    this.heard.add(client);
    client.on('error', () => {});
  }
}

/** The look-up ran in a transaction of another borrower, which may be older than a revocation. */
class OfAnother extends Error {
  readonly code = 'ETRANSACTION';
}

/** Returns an error if another borrower gave the connection back during its BEGIN. */
function ofAnother(client: PoolClient): Error | null {
  return isInTransaction(client) ? new OfAnother('answered inside a transaction of other code') : null;
}

/** Gives the connection of a group back. With an error, the pool closes the connection. */
function end<Found>(group: Group<Found>, error?: Error): void {
  const { underWay } = group;
  group.underWay = null;
  underWay?.client.release(error);
}

/**
 * Cancels the statement of a group, and then closes its connection. The order matters, because a
 * pooler forwards a CancelRequest only while the client is connected. Until the connection is
 * closed, no other code uses it, so the request cannot cancel another statement.
 */
async function giveUp<Found>(group: Group<Found>): Promise<void> {
  const { underWay } = group;
  if (underWay === null) return;
  group.underWay = null;
  await underWay.cancel();
  underWay.client.release(new Error('no answer long after the deadline'));
}

/** Returns whether the pool has an idle connection for a look-up, or can open a new connection. */
function hasRoom(pool: Pool): boolean {
  return pool.idleCount > pool.waitingCount || pool.totalCount < pool.options.max;
}

/** Returns whether the next caller waits only until the pool has opened a new connection. */
function opensFor(pool: Pool): boolean {
  return pool.idleCount === 0 && pool.totalCount < pool.options.max;
}

function valuesOf<Found>({ askings }: Group<Found>): readonly string[] {
  const values = Array.from(askings, (asking) => asking.values).flat();
  return askings.size === 1 ? values : [...new Set(values)];
}

function rejectAll<Found>({ askings }: Group<Found>, error: unknown): void {
  for (const { reject } of askings) reject(error);
}
