import type { Clock, Moment } from './clock';

/**
 * How long this instance may trust what it remembers: until the heartbeat that last came back was sent, plus the bound.
 * PostgreSQL delivers notifications in the order of commits, so every revocation committed before that heartbeat has arrived.
 * A lease belongs to one listening session; what was remembered under another is not trusted.
 */
export class Lease {
  private open = false;
  private number = 0;
  private heartbeat: Moment | null = null;
  private first: Moment | null = null;

  constructor(
    /** Milliseconds after the sending of a heartbeat. */
    readonly boundMs: number,
    private readonly clock: Clock,
    /** How many milliseconds the wall clock may run ahead before this machine counts as one that slept. */
    private readonly maxDriftMs: number = boundMs,
  ) {}

  /** The listening session; what is asked under it may be remembered under it. Null where nobody listens. */
  get session(): number | null {
    return this.open ? this.number : null;
  }

  /** Begins a new session: LISTEN was acknowledged. Nothing is trusted before its first heartbeat has come back. */
  begin(): void {
    this.open = true;
    this.forget();
  }

  /** A heartbeat came back that was sent at that moment. */
  renew(sent: Moment): void {
    if (!this.open) return;
    if (this.first && driftBetween(this.first, sent) > this.maxDriftMs) this.forget();
    this.first ??= sent;
    this.heartbeat = sent;
  }

  /** Nobody listens any more: what is remembered is trusted to the end of the lease, and nothing new is remembered. */
  lose(): void {
    this.open = false;
  }

  /** Whether what was remembered under a session may be used now. Compared at each use, for a timer can be late. */
  trusts(session: number, now: number): boolean {
    const { heartbeat } = this;
    if (heartbeat === null || session !== this.number) return false;
    return now - heartbeat.monotonic < this.boundMs && this.clock.wall() - heartbeat.wall < this.boundMs;
  }

  /** Milliseconds since the heartbeat that last came back was sent; null before the first. */
  heartbeatAgeMs(): number | null {
    return this.heartbeat && this.clock.monotonic() - this.heartbeat.monotonic;
  }

  /** Whether it is held now. */
  isHeld(): boolean {
    return this.trusts(this.number, this.clock.monotonic());
  }

  private forget(): void {
    this.number += 1;
    this.heartbeat = null;
    this.first = null;
  }
}

/** How much longer the wall says it took: a machine that slept stops its monotonic clock, and the expiries laid on it. */
function driftBetween(earlier: Moment, later: Moment): number {
  return later.wall - earlier.wall - (later.monotonic - earlier.monotonic);
}
