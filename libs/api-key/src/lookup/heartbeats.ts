import type { Moment } from './clock';

/** What heartbeats have an effect on. */
export interface HeartbeatListener {
  /** Changes were made that no notification told. */
  clear(): void;
  /** Every change that was committed before this moment is known. */
  renew(sent: Moment): void;
}

interface Heartbeat {
  readonly moment: Moment;
  notified: boolean;
  read: boolean;
}

/**
 * The heartbeats of one listening session. One counts once its notification has arrived, so that
 * all that were sent before have, and once the silent changes that its statement read are handled.
 * Which of the two comes first does not matter.
 */
export class Heartbeats {
  private readonly underWay = new Map<string, Heartbeat>();
  private count = 0;

  /** @param silentChanges those that everything known by now was asked after */
  constructor(
    private silentChanges: string,
    private readonly listener: HeartbeatListener,
  ) {}

  /** When the oldest of those under way was sent. */
  get oldest(): Moment | undefined {
    return this.underWay.values().next().value?.moment;
  }

  /** Begins one, before its statement is sent; its number. */
  begin(moment: Moment): string {
    this.count += 1;
    const number = String(this.count);
    this.underWay.set(number, { moment, notified: false, read: false });
    return number;
  }

  /** Its notification has arrived. */
  arrive(number: string): void {
    const heartbeat = this.underWay.get(number);
    if (!heartbeat) return;
    heartbeat.notified = true;
    this.renewBy(number, heartbeat);
  }

  /** Its statement has read which silent changes there were. */
  read(number: string, silentChanges: string): void {
    if (silentChanges !== this.silentChanges) this.listener.clear();
    this.silentChanges = silentChanges;
    const heartbeat = this.underWay.get(number);
    if (!heartbeat) return;
    heartbeat.read = true;
    this.renewBy(number, heartbeat);
  }

  /** Its statement was not made: the queue was full. */
  fail(number: string): void {
    this.underWay.delete(number);
  }

  private renewBy(number: string, { moment, notified, read }: Heartbeat): void {
    if (!notified || !read) return;
    this.underWay.delete(number);
    this.listener.renew(moment);
  }
}
