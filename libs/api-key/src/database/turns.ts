import { setTimeout as delay } from 'node:timers/promises';
import { isBroken, isInConflict, isLockTimeout, isUnreachable } from './error-codes';
import { Lanes } from './lanes';
import type { Kind } from './pool-share';
import { Slots } from './slots';
import { UnknownOutcome } from './unknown-outcome';
import { busy } from './waiting-line';

/** What a transaction is for, and whose it is. */
export interface Turn {
  readonly kind: 'ending' | 'background' | 'change' | 'read';
  /**
   * Transactions of one kind that share a lane run one after the other. A transaction waits in each
   * of its lanes, in this order, and then for a connection.
   */
  readonly lanes: readonly string[];
  /**
   * Whether another transaction has done the same meanwhile. Asked after an attempt that failed, so
   * that no further attempt is made for nothing. It must not wait in the lanes of the turn.
   */
  readonly isDone?: () => Promise<boolean>;
}

/** The kinds that a read may have. A read of a change that ends keys goes before other reads. */
export type ReadKind = Extract<Turn['kind'], 'read' | 'ending'>;

/** The turn of a read. */
export type ReadTurn = Turn & { readonly kind: ReadKind };

/** A change: how long it may wait for a lock this time. */
type Attempt<T> = (lockTimeoutMs: number | undefined) => Promise<T>;

const LIMITS = { waitingInLane: 500, inAllLanes: 5_000 };
/** Who waits for a lock keeps a connection, so that it gives it back after this time. */
const LOCK_TIMEOUT_MS = 1_000;
/**
 * With one connection in all, look-ups wait as long as the lock is waited for: less than
 * `cache.lookUpTimeoutMs`.
 */
const LOCK_TIMEOUT_OF_ONE_MS = 100;
/**
 * An ending waits twice as long each time, up to this time. A lock that is rarely free for a moment
 * is given to those who wait for it in the order of their arrival.
 */
const LONGEST_LOCK_TIMEOUT_MS = 8_000;
const PAUSE_MS = 50;
/** After this part of the shutdown, everything that still waits is refused. */
const GRACE_MS = 2_000;

/**
 * The order of all transactions of this instance. Each waits here, without a connection, until it
 * is its turn. A change that waits too long for a lock gives its connection back and tries again
 * until its deadline.
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

  /** @param poolMax the size of the pool */
  constructor(private readonly poolMax: () => number) {
    this.slots = new Slots(poolMax);
  }

  /**
   * Runs a transaction when it is its turn.
   * @param endsAt the deadline, on the clock of `performance.now`
   * @throws Error with code `EBUSY` at once if too many wait, or at the deadline; else the error of
   *   the last attempt
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

  /** Refuses after 2 s what still waits then. Writes in the background still run. */
  close(): void {
    this.closing ??= setTimeout(() => this.end(), GRACE_MS).unref();
  }

  /** Refuses at once what still waits. */
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

  /** Milliseconds that work may still wait: none if the application ends. */
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
