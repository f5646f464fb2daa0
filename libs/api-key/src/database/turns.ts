import { setTimeout as delay } from 'node:timers/promises';
import { isBroken, isInConflict, isLockTimeout, isUnreachable } from './error-codes';
import { Lanes } from './lanes';
import type { Kind } from './pool-share';
import { Slots } from './slots';
import { UnknownOutcome } from './unknown-outcome';
import { busy } from './waiting-line';

/** Purpose and lanes of a transaction. */
export interface Turn {
  readonly kind: 'ending' | 'background' | 'change' | 'read';
  /**
   * Lanes of the transaction. Transactions of one kind in the same lane run one after the other. A
   * transaction waits in each of its lanes, in this order, and then for a connection.
   */
  readonly lanes: readonly string[];
  /**
   * Returns whether another transaction has already done the same work. Called after a failed
   * attempt, so that no useless attempt follows. The function must not wait in the lanes of this
   * turn.
   */
  readonly isDone?: () => Promise<boolean>;
}

/** The kinds that a read may have. A read for a change that ends keys runs before other reads. */
export type ReadKind = Extract<Turn['kind'], 'read' | 'ending'>;

/** The turn of a read. */
export type ReadTurn = Turn & { readonly kind: ReadKind };

/** Runs one attempt of a transaction with a time limit for its wait for a lock. */
type Attempt<T> = (lockTimeoutMs: number | undefined) => Promise<T>;

const LIMITS = { waitingInLane: 500, inAllLanes: 5_000 };
/**
 * Milliseconds that a change waits for a lock. A change that waits keeps its connection, so it
 * gives the connection back after this time.
 */
const LOCK_TIMEOUT_MS = 1_000;
/**
 * Milliseconds that a change waits for a lock if the pool has only one connection. Look-ups wait
 * during this time, so it is shorter than `cache.lookUpTimeoutMs`.
 */
const LOCK_TIMEOUT_OF_ONE_MS = 100;
/**
 * Maximum milliseconds that a transaction of kind `ending` waits for a lock. Each attempt waits
 * twice as long as the attempt before. PostgreSQL gives a lock that is rarely free to waiting
 * transactions in the order of their arrival.
 */
const LONGEST_LOCK_TIMEOUT_MS = 8_000;
const PAUSE_MS = 50;
/** Milliseconds after the start of the shutdown until all waiting transactions are refused. */
const GRACE_MS = 2_000;

/**
 * Decides the order of all transactions of this instance. Each transaction waits for its turn
 * without a connection. A change that waits too long for a lock gives its connection back, and is
 * retried until its deadline.
 */
export class Turns {
  private readonly lanes = {
    ending: new Lanes(LIMITS),
    background: new Lanes(LIMITS),
    change: new Lanes(LIMITS),
    read: new Lanes(LIMITS),
  };
  private readonly slots: Slots;
  private isOver = false;
  private closing: NodeJS.Timeout | undefined;

  /** @param poolMax returns the maximum number of connections in the pool */
  constructor(private readonly poolMax: () => number) {
    this.slots = new Slots(poolMax);
  }

  /**
   * Runs a transaction when its turn comes.
   * @param endsAt the deadline, in milliseconds on the clock of `performance.now`
   * @throws Error with code `EBUSY`: at once if too many transactions wait, or at the deadline
   * @throws the error of the last attempt
   */
  async run<T>(turn: Turn, endsAt: number, attempt: Attempt<T>): Promise<T> {
    const { kind, lanes } = turn;
    const leave = await this.lanes[kind].enter(lanes, () => this.leftMs(kind, endsAt));
    try {
      return await this.tryUntil(turn, endsAt, attempt);
    } finally {
      leave();
    }
  }

  /** Refuses all waiting transactions after 2 s. Background writes still run. */
  close(): void {
    this.closing ??= setTimeout(() => this.end(), GRACE_MS).unref();
  }

  /** Refuses all waiting transactions at once. Background writes still run. */
  end(): void {
    clearTimeout(this.closing);
    this.isOver = true;
    const error = busy('the application ends');
    for (const kind of ['ending', 'change', 'read'] as const) this.lanes[kind].refuse(error);
    this.slots.refuse(error);
  }

  private async tryUntil<T>({ kind, isDone }: Turn, endsAt: number, attempt: Attempt<T>): Promise<T> {
    for (let n = 0; ; n++) {
      let failure: unknown;
      const free = await this.slots.take(kindOf(kind, n), this.leftMs(kind, endsAt));
      try {
        return await attempt(this.lockTimeoutOf(kind, n));
      } catch (error) {
        if (!mayTryAgain(kind, error) || this.leftMs(kind, endsAt) <= PAUSE_MS) throw error;
        failure = error;
      } finally {
        free();
      }
      if (await isDone?.().catch(() => false)) throw failure;
      await delay(PAUSE_MS);
    }
  }

  private lockTimeoutOf(kind: Turn['kind'], n: number): number | undefined {
    if (kind === 'read' || kind === 'background') return undefined;
    if (this.poolMax() === 1) return LOCK_TIMEOUT_OF_ONE_MS;
    return kind === 'ending' ? Math.min(LOCK_TIMEOUT_MS * 2 ** n, LONGEST_LOCK_TIMEOUT_MS) : LOCK_TIMEOUT_MS;
  }

  /**
   * Returns the milliseconds that a transaction may still wait: 0 if the application ends, except
   * for background writes.
   */
  private leftMs(kind: Turn['kind'], endsAt: number): number {
    return this.isOver && kind !== 'background' ? 0 : endsAt - performance.now();
  }
}

function kindOf(kind: Turn['kind'], n: number): Kind {
  return n > 0 && (kind === 'ending' || kind === 'change') ? `${kind} again` : kind;
}

function mayTryAgain(kind: Turn['kind'], error: unknown): boolean {
  if (kind === 'change') return isLockTimeout(error);
  if (kind !== 'ending' || error instanceof UnknownOutcome) return false;
  return isLockTimeout(error) || isInConflict(error) || isBroken(error) || isUnreachable(error);
}
