import { Logger } from '@nestjs/common';
import { IntervalWriter } from '../database/interval-writer';
import { writeInTime } from '../database/write-in-time';
import type { ApiKeyEvent, ApiKeyEventSink, RequestEvent } from '../model/api-key.event';
import { wordsOf } from '../model/error-words';
import { type WaitingEvent, WaitingEvents } from './waiting-events';

const BATCH = 500;
/**
 * If the sink rejects an event alone this often, but accepts other events, the event is dropped.
 */
const MAX_REJECTIONS = 3;

/** Numbers of dropped events. */
export interface DroppedCounts {
  /** Number of dropped events that name a stored key. */
  ofKeys: number;
  others: number;
}

/**
 * Collects events without delaying requests, and sends them to a sink in batches. Each interval
 * sends at most as many events as the queue can contain. So a flood of refusals fills neither the
 * memory nor the table. Events that do not fit into the queue are dropped and counted.
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

  /** Numbers of events that were dropped since the start. */
  get dropped(): Readonly<DroppedCounts> {
    return this.counts;
  }

  /**
   * Adds an event to the queue. If the queue is full, an event is dropped without being built.
   * @param telling builds the event
   * @param namesKey whether the event names a stored key
   */
  add(telling: () => ApiKeyEvent, namesKey: boolean): void {
    const dropped = this.waiting.add(telling, namesKey);
    if (dropped) this.count([dropped]);
  }

  /** Sends the events that are waiting now. Events that arrive later wait for the next interval. */
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
   * Keeps the events of a batch that failed. The next batches have one event each, so that an event
   * that the sink always rejects does not delay other events.
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
