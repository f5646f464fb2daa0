import { type Kind, rankOf, shareOf } from './pool-share';
import { WaitingLine } from './waiting-line';

/** Limits the number of running transactions, so that look-ups always find a free connection. */
export class Slots {
  private readonly line = new WaitingLine<Kind>();
  private readonly running = new Map<Kind, number>();

  /** @param poolMax returns the maximum number of connections in the pool */
  constructor(private readonly poolMax: () => number) {}

  /**
   * Waits until a transaction of this kind may run.
   * @param leftMs milliseconds until the deadline
   * @returns a function to call when the transaction has ended
   * @throws Error with code `EBUSY` at the deadline
   */
  async take(kind: Kind, leftMs: number): Promise<() => void> {
    const called = this.line.join(kind, leftMs);
    this.callAll();
    await called;
    return () => {
      this.count(kind, -1);
      this.callAll();
    };
  }

  /** Refuses all waiting transactions except background writes. */
  refuse(error: Error): void {
    this.line.refuse(error, (kind) => kind !== 'background');
  }

  private callAll(): void {
    const share = shareOf(this.poolMax());
    for (;;) {
      const kind = this.line.call((each) => rankOf(each, share, this.running));
      if (kind === undefined) return;
      this.count(kind, 1);
    }
  }

  private count(kind: Kind, by: number): void {
    this.running.set(kind, (this.running.get(kind) ?? 0) + by);
  }
}
