import type { Moment } from './clock';

/** Receives the results of heartbeats. */
export interface HeartbeatListener {
  /** Changes were made without a notification. */
  clear(): void;
  /** All changes that were committed before the moment `sent` are known. */
  renew(sent: Moment): void;
}

interface Heartbeat {
  readonly moment: Moment;
  notified: boolean;
  read: boolean;
}

/**
 * The heartbeats of one listening session. A heartbeat renews the lease after two steps, in any
 * order. First, its notification has arrived, which means that all earlier notifications have
 * arrived. Second, its statement has read the silent changes, and they are handled. A silent change
 * is a change without a notification.
 */
export class Heartbeats {
  private readonly underWay = new Map<string, Heartbeat>();
  private count = 0;

  /** @param silentChanges the silent changes that were read before anything was cached */
  constructor(
    private silentChanges: string,
    private readonly listener: HeartbeatListener,
  ) {}

  /** When the oldest pending heartbeat was sent. */
  get oldest(): Moment | undefined {
    return this.underWay.values().next().value?.moment;
  }

  /** Begins a heartbeat before its statement is sent. @returns the number of the heartbeat */
  begin(moment: Moment): string {
    this.count += 1;
    const number = String(this.count);
    this.underWay.set(number, { moment, notified: false, read: false });
    return number;
  }

  /** The notification of a heartbeat has arrived. */
  arrive(number: string): void {
    const heartbeat = this.underWay.get(number);
    if (!heartbeat) return;
    heartbeat.notified = true;
    this.renewBy(number, heartbeat);
  }

  /** The statement of a heartbeat has read the list of silent changes. */
  read(number: string, silentChanges: string): void {
    if (silentChanges !== this.silentChanges) this.listener.clear();
    this.silentChanges = silentChanges;
    const heartbeat = this.underWay.get(number);
    if (!heartbeat) return;
    heartbeat.read = true;
    this.renewBy(number, heartbeat);
  }

  /** The statement of a heartbeat failed because the notification queue was full. */
  fail(number: string): void {
    this.underWay.delete(number);
  }

  private renewBy(number: string, { moment, notified, read }: Heartbeat): void {
    if (!notified || !read) return;
    this.underWay.delete(number);
    this.listener.renew(moment);
  }
}
