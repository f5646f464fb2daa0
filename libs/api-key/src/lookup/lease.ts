import type { Clock, Moment } from './clock';

/**
 * Decides how long this instance may trust its cache: for `boundMs` after it sent the last
 * heartbeat that came back. PostgreSQL delivers notifications in the order of commits. So the
 * notification of every revocation committed before this heartbeat has arrived. A lease belongs to
 * one listening session. Entries that were cached under another session are not trusted.
 */
export class Lease {
  private open = false;
  private number = 0;
  private heartbeat: Moment | null = null;
  private first: Moment | null = null;

  constructor(
    /** Milliseconds from the sending of a heartbeat until the lease ends. */
    readonly boundMs: number,
    private readonly clock: Clock,
    /**
     * If the wall clock runs ahead of the monotonic clock by more milliseconds, the machine has
     * slept.
     */
    private readonly maxDriftMs: number = boundMs,
  ) {}

  /**
   * Returns the number of the current listening session, or null if no session listens. New entries
   * are cached under this number.
   */
  get session(): number | null {
    return this.open ? this.number : null;
  }

  /**
   * Begins a new lease after LISTEN was acknowledged. No entry is trusted before the first
   * heartbeat has come back.
   */
  begin(): void {
    this.open = true;
    this.forget();
  }

  /**
   * Renews the lease after a heartbeat came back.
   * @param sent when the heartbeat was sent
   */
  renew(sent: Moment): void {
    if (!this.open) return;
    if (this.first && driftBetween(this.first, sent) > this.maxDriftMs) this.forget();
    this.first ??= sent;
    this.heartbeat = sent;
  }

  /**
   * Stops the caching of new entries, because no session listens any more. Cached entries are
   * trusted until the lease ends.
   */
  lose(): void {
    this.open = false;
  }

  /**
   * Checks whether entries that were cached under a session may be used now. Compares the time at
   * each use, because a timer can be late.
   */
  trusts(session: number, now: number): boolean {
    const { heartbeat } = this;
    if (heartbeat === null || session !== this.number) return false;
    return now - heartbeat.monotonic < this.boundMs && this.clock.wall() - heartbeat.wall < this.boundMs;
  }

  /**
   * Returns the milliseconds since the sending of the last heartbeat that came back, or null before
   * the first.
   */
  heartbeatAgeMs(): number | null {
    return this.heartbeat && this.clock.monotonic() - this.heartbeat.monotonic;
  }

  /** Returns whether the lease is valid now. */
  isHeld(): boolean {
    return this.trusts(this.number, this.clock.monotonic());
  }

  private forget(): void {
    this.number += 1;
    this.heartbeat = null;
    this.first = null;
  }
}

/**
 * Returns how many milliseconds more than the monotonic clock the wall clock measured between two
 * moments. If the machine sleeps, the monotonic clock stops. Expiries that this clock measures are
 * then too late.
 */
function driftBetween(earlier: Moment, later: Moment): number {
  return later.wall - earlier.wall - (later.monotonic - earlier.monotonic);
}
