import type { Moment } from './clock';

/** Receives the results of heartbeats. */
export interface HeartbeatListener {
  /** Called if changes were made without a notification. */
  clear(): void;
  /** Called when all changes that were committed before the moment `sent` are known. */
  renew(sent: Moment): void;
}

interface Heartbeat {
  readonly moment: Moment;
  notified: boolean;
  read: boolean;
}

/**
 * Tracks the heartbeats of one listening session. A heartbeat renews the lease after two steps, in
 * any order. First, the heartbeat's notification has arrived, so all earlier notifications have
 * arrived too. Second, the heartbeat's statement has read the silent changes, and the listener has
 * handled them. A silent change is a change without a notification.
 */
export class Heartbeats {
  private readonly underWay = new Map<string, Heartbeat>();
  private count = 0;

  /** @param silentChanges the silent changes that the session read before anything was cached */
  constructor(
    private silentChanges: string,
    private readonly listener: HeartbeatListener,
  ) {}

  /**
   * Returns when the oldest pending heartbeat was sent, or undefined if no heartbeat is pending.
   */
  get oldest(): Moment | undefined {
    return this.underWay.values().next().value?.moment;
  }

  /**
   * Starts a heartbeat before its statement is sent.
   * @returns the number of the heartbeat
   */
  begin(moment: Moment): string {
    this.count += 1;
    const number = String(this.count);
    this.underWay.set(number, { moment, notified: false, read: false });
    return number;
  }

  /** Records that the notification of a heartbeat has arrived. */
  arrive(number: string): void {
    const heartbeat = this.underWay.get(number);
    if (!heartbeat) return;
    heartbeat.notified = true;
    this.renewBy(number, heartbeat);
  }

  /** Records the list of silent changes that the statement of a heartbeat has read. */
  read(number: string, silentChanges: string): void {
    if (silentChanges !== this.silentChanges) this.listener.clear();
    this.silentChanges = silentChanges;
    const heartbeat = this.underWay.get(number);
    if (!heartbeat) return;
    heartbeat.read = true;
    this.renewBy(number, heartbeat);
  }

  /** Removes a heartbeat whose statement failed because the notification queue was full. */
  fail(number: string): void {
    this.underWay.delete(number);
  }

  private renewBy(number: string, { moment, notified, read }: Heartbeat): void {
    if (!notified || !read) return;
    this.underWay.delete(number);
    this.listener.renew(moment);
  }
}
