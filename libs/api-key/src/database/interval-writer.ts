import { Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { wordsOf } from '../model/error-words';

/**
 * Writes collected values at an interval, and once more when the application shuts down. Only one
 * write runs at a time. A failed write is logged once, and is retried at the next interval.
 */
export abstract class IntervalWriter implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('ApiKeyModule');
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  /** The next write, which has not begun. */
  private next: Promise<void> | undefined;
  private underWay = 0;
  private failing = false;

  /** @param what name of the values, for the log */
  constructor(
    private readonly what: string,
    private readonly intervalMs: number,
  ) {}

  /**
   * Writes all collected values. The promise must settle, so write in a `briefTransaction`.
   * @throws the error of the write; the values must then remain collected
   */
  protected abstract write(): Promise<void>;

  /**
   * Writes all collected values. If the write fails, the values remain collected. Never rejects.
   * All calls that wait for the same earlier write share the next write.
   */
  flush(): Promise<void> {
    this.next ??= this.afterTheLast();
    return this.next;
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => {
      if (this.underWay === 0) void this.flush();
    }, this.intervalMs);
    this.timer.unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }

  private afterTheLast(): Promise<void> {
    this.underWay += 1;
    this.writing = this.writing.then(() => this.tryToWrite());
    return this.writing;
  }

  private async tryToWrite(): Promise<void> {
    this.next = undefined;
    try {
      await this.write();
      this.failing = false;
    } catch (error) {
      if (!this.failing)
        this.logger.warn(`${this.what} could not be written and will be retried: ${wordsOf(error)}`);
      this.failing = true;
    } finally {
      this.underWay -= 1;
    }
  }
}
