import { Logger } from '@nestjs/common';
import { writeInTime } from '../database/write-in-time';
import type { ApiKeyEvent, ApiKeyEventSink } from '../model/api-key.event';
import { wordsOf } from '../model/error-words';

const BATCH = 500;

/** Puts an event together: at the time it is handed over, which is nobody's request. */
type Telling = () => ApiKeyEvent;

/**
 * Takes events off the path of requests and hands them to a sink in batches. Bounded: what does not fit is dropped
 * and counted, for a flood of refusals must not fill the memory.
 */
export class EventQueue {
  private readonly logger = new Logger('ApiKeyModule');
  private waiting: Telling[] = [];
  private running: Promise<void> = Promise.resolve();
  private underWay = 0;
  private timer: NodeJS.Timeout | undefined;
  private droppedCount = 0;
  private reported = 0;
  private failing = false;

  constructor(
    private readonly sink: ApiKeyEventSink,
    private readonly size: number,
  ) {}

  /** How many events were dropped since the start. */
  get dropped(): number {
    return this.droppedCount;
  }

  /** One that is dropped is never put together. */
  add(telling: Telling): void {
    if (this.waiting.length < this.size) this.waiting.push(telling);
    else this.droppedCount++;
  }

  start(intervalMs: number): void {
    this.timer = setInterval(() => {
      if (this.underWay === 0) void this.flush();
    }, intervalMs);
    this.timer.unref();
  }

  /** Hands over what is left, once. Never rejects. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.flush();
  }

  /** Hands over what waits; after a failure it waits for the next time. Never rejects. */
  flush(): Promise<void> {
    this.underWay += 1;
    this.running = this.running.then(() => this.handOver()).finally(() => (this.underWay -= 1));
    return this.running;
  }

  private async handOver(): Promise<void> {
    this.reportDropped();
    while (this.waiting.length > 0) {
      const batch = this.waiting.slice(0, BATCH);
      try {
        await writeInTime(this.sink.record(batch.map((telling) => telling())));
        this.waiting = this.waiting.slice(batch.length);
        this.failing = false;
      } catch (error) {
        this.reportFailure(error);
        return;
      }
    }
  }

  private reportDropped(): void {
    const dropped = this.droppedCount - this.reported;
    this.reported = this.droppedCount;
    if (dropped > 0)
      this.logger.warn(
        `${dropped} events of refused requests were dropped, for they came faster than they are written`,
      );
  }

  private reportFailure(error: unknown): void {
    if (!this.failing)
      this.logger.warn(`Events could not be recorded and are tried again: ${wordsOf(error)}`);
    this.failing = true;
  }
}
