import type { ApiKeyEvent } from '../model/api-key.event';

/** An event that is not written yet. */
export interface WaitingEvent {
  /** Builds the event. Called when a batch is written, not during the request. */
  readonly telling: () => ApiKeyEvent;
  /** Whether the event names a stored key. False for events of unknown or malformed keys. */
  readonly namesKey: boolean;
  /** Position in the order of arrival. */
  readonly order: number;
  /** Whether the sink rejected the event alone. */
  isSuspect: boolean;
  /**
   * Number of times that the sink rejected the event alone, although it had just accepted other
   * events.
   */
  rejections: number;
}

/**
 * A bounded queue of events. In a full queue, an event that names a stored key replaces an event
 * that names none, because anybody can cause events without a stored key. Events that name a stored
 * key are taken first. Events that the sink rejected alone are taken last. The events of a batch
 * are in the order of arrival.
 */
export class WaitingEvents {
  private readonly ofKeys: WaitingEvent[] = [];
  private readonly others: WaitingEvent[] = [];
  private readonly suspects: WaitingEvent[] = [];
  private taken = 0;
  private added = 0;

  constructor(private readonly size: number) {}

  /** Number of events in the queue, without the batch that was taken. */
  get count(): number {
    return this.ofKeys.length + this.others.length + this.suspects.length;
  }

  /**
   * Adds an event. While a batch is taken, its places in the queue are free only for events that
   * name a stored key.
   * @returns the event that was dropped, which may be the added event; null if the queue had room
   */
  add(telling: WaitingEvent['telling'], namesKey: boolean): WaitingEvent | null {
    const places = namesKey ? this.size : this.size - this.taken;
    const event = { telling, namesKey, order: this.added++, isSuspect: false, rejections: 0 };
    this.listOf(event).push(event);
    return this.count > places ? this.dropLast() : null;
  }

  /**
   * Takes a batch of up to `count` events. Ends with a call of `written`, `putBack` or `setAside`.
   */
  take(count: number): WaitingEvent[] {
    const batch: WaitingEvent[] = [];
    for (const list of [this.ofKeys, this.others, this.suspects])
      batch.push(...list.splice(0, count - batch.length));
    this.taken = batch.length;
    return batch.sort((one, other) => one.order - other.order);
  }

  written(): void {
    this.taken = 0;
  }

  /**
   * Puts a batch back at the front of the queue.
   * @returns the events that were dropped because the queue was full
   */
  putBack(batch: readonly WaitingEvent[]): WaitingEvent[] {
    for (const event of batch.toReversed()) this.listOf(event).unshift(event);
    return this.trim();
  }

  /**
   * Puts an event that the sink rejected alone at the end of the queue.
   * @returns the events that were dropped because the queue was full
   */
  setAside(event: WaitingEvent): WaitingEvent[] {
    event.isSuspect = true;
    this.suspects.push(event);
    return this.trim();
  }

  private trim(): WaitingEvent[] {
    this.taken = 0;
    const dropped: WaitingEvent[] = [];
    while (this.count > this.size) dropped.push(this.dropLast());
    return dropped;
  }

  private listOf({ namesKey, isSuspect }: WaitingEvent): WaitingEvent[] {
    if (isSuspect) return this.suspects;
    return namesKey ? this.ofKeys : this.others;
  }

  private dropLast(): WaitingEvent {
    return (this.others.pop() ?? this.suspects.pop() ?? this.ofKeys.pop()) as WaitingEvent;
  }
}
