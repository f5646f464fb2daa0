import type { ApiKeyEvent } from '../model/api-key.event';

/** An event that is not written yet. */
export interface WaitingEvent {
  /** Builds the event. Called when a batch is written, not during the request. */
  readonly telling: () => ApiKeyEvent;
  /** Whether the event names a stored key. Events of made-up keys do not. */
  readonly namesKey: boolean;
  /** Place in the order of arrival. */
  readonly order: number;
  /** Whether the sink rejected the event alone. */
  isSuspect: boolean;
  /** How often the sink rejected this event alone, although it had just taken others. */
  rejections: number;
}

/**
 * A bounded queue of events. If it is full, an event that names a key takes the place of one that
 * does not, because anybody can cause the latter. Events that name a key are taken first. Events
 * that the sink rejected alone are taken last. A batch is in the order of arrival.
 */
export class WaitingEvents {
  private readonly ofKeys: WaitingEvent[] = [];
  private readonly others: WaitingEvent[] = [];
  private readonly suspects: WaitingEvent[] = [];
  private taken = 0;
  private added = 0;

  constructor(private readonly size: number) {}

  /** How many events wait, without the batch that was taken. */
  get count(): number {
    return this.ofKeys.length + this.others.length + this.suspects.length;
  }

  /**
   * Adds an event. The batch that was taken keeps its places, but only from events without a key.
   * @returns the event that was dropped, which may be the same; null if there is room
   */
  add(telling: WaitingEvent['telling'], namesKey: boolean): WaitingEvent | null {
    const places = namesKey ? this.size : this.size - this.taken;
    const event = { telling, namesKey, order: this.added++, isSuspect: false, rejections: 0 };
    this.listOf(event).push(event);
    return this.count > places ? this.dropLast() : null;
  }

  /** Takes a batch of up to `count` events, until `written`, `putBack` or `setAside` is called. */
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

  /** Puts a batch back in front. @returns the events that were dropped for it */
  putBack(batch: readonly WaitingEvent[]): WaitingEvent[] {
    for (const event of batch.toReversed()) this.listOf(event).unshift(event);
    return this.trim();
  }

  /** Puts an event that the sink rejected behind all others. @returns the dropped events */
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
