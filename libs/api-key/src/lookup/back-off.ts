const FIRST_MS = 100;
const MAX_MS = 5_000;

/** How long to wait before trying again: twice as long each time, and by chance, so that a fleet does not come back at once. */
export class BackOff {
  private ms = FIRST_MS;

  /** @param random from 0 to below 1 */
  constructor(private readonly random: () => number = Math.random) {}

  /**
   * Milliseconds, half to whole of 100, 200, 400 and so on to 5,000.
   * @param heldMs how long it went well before: for more than 5,000 it begins anew
   */
  next(heldMs: number): number {
    if (heldMs > MAX_MS) this.ms = FIRST_MS;
    const waitMs = this.ms * (0.5 + this.random() / 2);
    this.ms = Math.min(MAX_MS, this.ms * 2);
    return waitMs;
  }
}
