import { Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { wordsOf } from '../model/error-words';

/**
 * Writes in an interval what was noted meanwhile, and what is left when the application ends; one
 * write after the other. A write that fails is logged once, and tried again the next time.
 */
export abstract class IntervalWriter implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('ApiKeyModule');
  private timer: NodeJS.Timeout | undefined;
  private writing: Promise<void> = Promise.resolve();
  private underWay = 0;
  private failing = false;

  /** @param what is written, in the log */
  constructor(
    private readonly what: string,
    private readonly intervalMs: number,
  ) {}

  /** Writes what was noted so far, and settles, in a `briefTransaction`. @throws what failed; what was noted stays noted then */
  protected abstract write(): Promise<void>;

  /** Writes what was noted so far; after a failure it stays noted. Never rejects. */
  flush(): Promise<void> {
    this.underWay += 1;
    this.writing = this.writing.then(() => this.tryToWrite());
    return this.writing;
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

  private async tryToWrite(): Promise<void> {
    try {
      await this.write();
      this.failing = false;
    } catch (error) {
      if (!this.failing)
        this.logger.warn(`${this.what} could not be written and is tried again: ${wordsOf(error)}`);
      this.failing = true;
    } finally {
      this.underWay -= 1;
    }
  }
}
