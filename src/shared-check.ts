/**
 * Runs a check once for all who ask for it at the same time, and not again before a pause is over.
 * Who asks in the pause waits for the next run. So nobody gets the result of a run that ended
 * before the question.
 */
export class SharedCheck {
  private running: Promise<void> | null = null;
  private pause: Promise<void> = Promise.resolve();

  constructor(
    private readonly check: () => Promise<void>,
    private readonly pauseMs: number,
  ) {}

  /** @throws the error of the check */
  pass(): Promise<void> {
    this.running ??= this.run().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  private async run(): Promise<void> {
    await this.pause;
    this.pause = new Promise((resolve) => setTimeout(resolve, this.pauseMs).unref());
    await this.check();
  }
}
