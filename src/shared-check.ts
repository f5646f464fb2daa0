/**
 * Shares one run of a check between all callers that wait for the run. A new run starts only after
 * a pause. A call during the pause waits for the next run, so that no call gets the result of an
 * earlier run.
 */
export class SharedCheck {
  private running: Promise<void> | null = null;
  private pause: Promise<void> = Promise.resolve();

  constructor(
    private readonly check: () => Promise<void>,
    private readonly pauseMs: number,
  ) {}

  /**
   * Joins the run that is in progress, or starts a run.
   * @throws the error of the check
   */
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
