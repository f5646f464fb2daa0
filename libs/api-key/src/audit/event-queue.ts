import { Logger } from '@nestjs/common';
import { IntervalWriter } from '../database/interval-writer';
import { writeInTime } from '../database/write-in-time';
import type { ApiKeyEvent, ApiKeyEventSink, RequestEvent } from '../model/api-key.event';
import { wordsOf } from '../model/error-words';
import { type WaitingEvent, WaitingEvents } from './waiting-events';

const BATCH = 500;
/** An event that the sink rejects this often by itself, while it takes others, is dropped. */
const MAX_REJECTIONS = 3;

/** How many events were dropped. */
export interface DroppedCounts {
  /** Events that name a stored key. */
  ofKeys: number;
  others: number;
}

/**
 * Collects events without delaying requests, and sends them to a sink in batches: per interval as
 * many as may wait. So a flood of refusals fills neither the memory nor the table. Events that do
 * not fit are dropped and counted.
 */
export class EventQueue extends IntervalWriter {
  private readonly log = new Logger('ApiKeyModule');
  private readonly waiting: WaitingEvents;
  private readonly counts: DroppedCounts = { ofKeys: 0, others: 0 };
  private reported = 0;
  private batchSize = BATCH;

  constructor(
    private readonly type: RequestEvent['type'],
    private readonly sink: ApiKeyEventSink,
    private readonly size: number,
    intervalMs: number,
  ) {
    super(`The audit trail of ${type} requests`, intervalMs);
    this.waiting = new WaitingEvents(size);
  }

  /** How many events were dropped since the start. */
  get dropped(): Readonly<DroppedCounts> {
    return this.counts;
  }

  /**
   * Adds an event. If the queue is full, an event is dropped and never built.
   * @param namesKey whether the event names a stored key
   */
  add(telling: () => ApiKeyEvent, namesKey: boolean): void {
    const dropped = this.waiting.add(telling, namesKey);
    if (dropped) this.count([dropped]);
  }

  /** Sends the events that wait now. Those that arrive meanwhile wait for the next interval. */
  protected override async write(): Promise<void> {
    this.reportDropped();
    let due = this.waiting.count;
    let isSinkUp = false;
    while (due > 0) {
      const batch = this.waiting.take(Math.min(this.batchSize, due));
      try {
        await this.send(batch);
        isSinkUp = true;
        due -= batch.length;
      } catch (error) {
        this.keep(batch, isSinkUp, error);
        if (!isSinkUp) throw error;
        isSinkUp = false;
        if (batch.length === 1) due -= 1;
      }
    }
  }

  private async send(batch: readonly WaitingEvent[]): Promise<void> {
    await writeInTime(this.sink.record(batch.map(({ telling }) => telling())));
    this.waiting.written();
    this.batchSize = Math.min(BATCH, 2 * this.batchSize);
  }

  /**
   * Keeps a batch that failed. The next batches are smaller, so that one event that the sink always
   * rejects does not keep back the others.
   */
  private keep(batch: readonly WaitingEvent[], isSinkUp: boolean, error: unknown): void {
    this.batchSize = 1;
    const [event] = batch as [WaitingEvent];
    if (batch.length > 1) this.count(this.waiting.putBack(batch));
    else if (isSinkUp && ++event.rejections === MAX_REJECTIONS) this.giveUp(event, error);
    else this.count(this.waiting.setAside(event));
  }

  private giveUp(event: WaitingEvent, error: unknown): void {
    this.waiting.written();
    this.count([event]);
    this.reported += 1;
    this.log.error(
      `An event of ${this.type} requests was dropped, because the audit trail took others and rejected it ` +
        `${MAX_REJECTIONS} times: ${wordsOf(error)}`,
    );
  }

  private count(dropped: readonly WaitingEvent[]): void {
    for (const { namesKey } of dropped) this.counts[namesKey ? 'ofKeys' : 'others'] += 1;
  }

  private reportDropped(): void {
    const all = this.counts.ofKeys + this.counts.others;
    const dropped = all - this.reported;
    this.reported = all;
    if (dropped > 0)
      this.log.warn(
        `${dropped} events of ${this.type} requests were dropped, because more than ${this.size} arrived in an ` +
          'interval (options audit.queueSize and audit.flushIntervalMs), or because they could not be written',
      );
  }
}
