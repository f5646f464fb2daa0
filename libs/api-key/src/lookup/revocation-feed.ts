import { setTimeout as delay } from 'node:timers/promises';
import { Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import type { Database } from '../database/database';
import { SideConnection } from '../database/side-connection';
import { BackOff } from './back-off';
import type { Clock } from './clock';
import type { FeedListener } from './feed-listener';
import { FeedMissing } from './feed-missing';
import { FeedReport } from './feed-report';
import { type FeedContext, type FeedOptions, FeedSession } from './feed-session';
import type { Lease } from './lease';
import { QueueWatch } from './queue-watch';

const CHECK_MS = 60_000;

/**
 * Keeps one session listening on its own connection to the primary. The heartbeats of this session
 * renew the lease.
 */
export class RevocationFeed implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly stopped = new AbortController();
  private readonly context: FeedContext;
  private running: Promise<void> = Promise.resolve();

  /** @param options `checkMs` is 60,000 by default */
  constructor(
    database: Database,
    lease: Lease,
    listener: FeedListener,
    options: Omit<FeedOptions, 'checkMs'> & Partial<FeedOptions>,
    clock: Clock,
  ) {
    const logger = new Logger('ApiKeyModule');
    this.context = {
      database,
      lease,
      listener,
      options: { ...options, checkMs: options.checkMs ?? CHECK_MS },
      clock,
      queue: new QueueWatch(logger),
      report: new FeedReport(logger),
    };
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  async onApplicationShutdown(): Promise<void> {
    this.stopped.abort();
    await this.running;
  }

  /**
   * Returns the usage of the server's notification queue from 0 to 1, or null while the revocation
   * feed does not listen.
   */
  get queueUsage(): number | null {
    return this.context.queue.usage;
  }

  private async run(): Promise<void> {
    const { lease, listener, options, clock, queue, report } = this.context;
    const backOff = new BackOff();
    while (!this.stopped.signal.aborted) {
      const began = clock.monotonic();
      const error = await this.listen().catch((reason: unknown) => reason);
      if (error instanceof FeedMissing && lease.session !== null) listener.clear();
      lease.lose();
      queue.observe(null);
      if (this.stopped.signal.aborted) return;
      report.failed(error);
      const heldMs = clock.monotonic() - began;
      const isHopeless = error instanceof FeedMissing && error.isHopeless;
      const waitMs = isHopeless ? options.checkMs : backOff.next(heldMs);
      await delay(waitMs, undefined, { signal: this.stopped.signal, ref: false }).catch(() => {});
    }
  }

  /** Runs one listening session until an error or the shutdown ends it. */
  private async listen(): Promise<void> {
    const connection = new SideConnection(this.context.database.sideClient('nestjs-api-key feed'));
    const over = new AbortController();
    const failure = connection.failure(this.stopped.signal, over.signal);
    try {
      await Promise.race([connection.connect(), failure]);
      connection.unref();
      const opening = FeedSession.open(connection.client, this.context, over.signal);
      const session = await Promise.race([opening, failure]);
      await Promise.race([session.beat(), failure]);
    } finally {
      over.abort();
      await connection.close();
    }
  }
}
