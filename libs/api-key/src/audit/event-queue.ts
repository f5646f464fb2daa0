import { Logger } from '@nestjs/common';
import { IntervalWriter } from '../database/interval-writer';
import { writeInTime } from '../database/write-in-time';
import type { ApiKeyEvent, ApiKeyEventSink, RequestEvent } from '../model/api-key.event';

const BATCH = 500;

/** Builds an event. Called when a batch is written, not during the request. */
type Telling = () => ApiKeyEvent;

/**
 * Collects events without delaying requests, and sends them to a sink in batches. The queue is
 * bounded, so that a flood of refusals cannot fill the memory. Events that do not fit are dropped
 * and counted.
 */
export class EventQueue extends IntervalWriter {
  private readonly log = new Logger('ApiKeyModule');
  private waiting: Telling[] = [];
  private droppedCount = 0;
  private reported = 0;

  constructor(
    private readonly type: RequestEvent['type'],
    private readonly sink: ApiKeyEventSink,
    private readonly size: number,
    intervalMs: number,
  ) {
    super(`The audit trail of ${type} requests`, intervalMs);
  }

  /** How many events were dropped since the start. */
  get dropped(): number {
    return this.droppedCount;
  }

  /** Adds an event. If the queue is full, the event is dropped and never built. */
  add(telling: Telling): void {
    if (this.waiting.length < this.size) this.waiting.push(telling);
    else this.droppedCount++;
  }

  protected override async write(): Promise<void> {
    this.reportDropped();
    while (this.waiting.length > 0) {
      const batch = this.waiting.slice(0, BATCH);
      await writeInTime(this.sink.record(batch.map((telling) => telling())));
      this.waiting = this.waiting.slice(batch.length);
    }
  }

  private reportDropped(): void {
    const dropped = this.droppedCount - this.reported;
    this.reported = this.droppedCount;
    if (dropped > 0)
      this.log.warn(
        `${dropped} events of ${this.type} requests were dropped, because they arrived faster than they could be written`,
      );
  }
}
