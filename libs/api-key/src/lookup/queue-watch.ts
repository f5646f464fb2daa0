import type { Logger } from '@nestjs/common';

const WARN_FROM = 0.25;

/**
 * Watches the usage of the server's notification queue. Logs one warning each time the usage
 * reaches 25 %.
 */
export class QueueWatch {
  private last: number | null = null;
  private warned = false;

  constructor(private readonly logger: Logger) {}

  /**
   * Returns the usage of the notification queue from 0 to 1, or null while the revocation feed does
   * not listen.
   */
  get usage(): number | null {
    return this.last;
  }

  /**
   * Records the usage of the notification queue.
   * @param usage from 0 to 1; null if the revocation feed no longer listens
   */
  observe(usage: number | null): void {
    this.last = usage;
    if (usage === null) return;
    const isFilling = usage >= WARN_FROM;
    if (isFilling && !this.warned) this.warn(usage);
    this.warned = isFilling;
  }

  private warn(usage: number): void {
    this.logger.warn(
      `The notification queue of PostgreSQL is ${Math.floor(usage * 100)} % full; once it is full, keys are looked up at each request. ` +
        'End the session that listens inside an open transaction; it has the oldest xact_start in pg_stat_activity.',
    );
  }
}
