const FIRST_MS = 100;
const MAX_MS = 5_000;

/**
 * Computes the wait before each retry. The wait doubles with each retry. A random part prevents a
 * fleet of instances from reconnecting at the same moment.
 */
export class BackOff {
  private ms = FIRST_MS;

  /** @param random returns a number from 0 to below 1 */
  constructor(private readonly random: () => number = Math.random) {}

  /**
   * Returns the milliseconds to wait before the next retry: a random time between half and all of
   * 100, 200, 400 and so on, up to 5,000.
   * @param heldMs milliseconds that the last connection worked; if more than 5,000, the waits start
   *   at 100 again
   */
  next(heldMs: number): number {
    if (heldMs > MAX_MS) this.ms = FIRST_MS;
    const waitMs = this.ms * (0.5 + this.random() / 2);
    this.ms = Math.min(MAX_MS, this.ms * 2);
    return waitMs;
  }
}
