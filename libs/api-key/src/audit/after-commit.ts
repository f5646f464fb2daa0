import { Inject, Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { DataSource, QueryRunner } from 'typeorm';
import { API_KEY_DATA_SOURCE } from '../database/data-source';
import { Subscription } from '../database/subscription';
import { wordsOf } from '../model/error-words';
import { Trail } from './trail';

/** A change in a transaction of the application, which has not ended yet. */
export interface PendingChange {
  /**
   * Id of the last event of the change. The event exists after the commit, unless a savepoint was
   * rolled back. Null if the trail has no event of the key: the change then counts as committed.
   */
  readonly eventId: string | null;
  /** Evicts the keys from the cache of this instance. Harmless if the change was rolled back. */
  evict(): void;
  /** Sends the events to listeners and sinks. Called only if the change was committed. */
  report(): void;
}

/**
 * Waits for the commits of transactions of the application, as a subscriber of TypeORM. A COMMIT of
 * TypeORM may end without an error although PostgreSQL rolled back, so the trail is asked.
 */
@Injectable()
export class AfterCommit implements OnApplicationShutdown {
  private readonly logger = new Logger('ApiKeyModule');
  private readonly pending = new WeakMap<object, PendingChange[]>();
  private readonly subscription: Subscription;

  constructor(
    @Inject(API_KEY_DATA_SOURCE) dataSource: DataSource,
    private readonly trail: Trail,
  ) {
    this.subscription = new Subscription(dataSource, {
      afterTransactionCommit: ({ queryRunner }) => this.committed(queryRunner),
      afterTransactionRollback: ({ queryRunner }) => {
        this.take(queryRunner);
      },
    });
  }

  /** Adds a change to the transaction of a query runner. */
  add(runner: object, change: PendingChange): void {
    this.subscription.renew();
    this.pending.set(runner, [...(this.pending.get(runner) ?? []), change]);
  }

  onApplicationShutdown(): void {
    this.subscription.end();
  }

  /** Never throws, because TypeORM would tell the application that the transaction failed. */
  private async committed(runner: QueryRunner): Promise<void> {
    const changes = this.take(runner);
    for (const change of changes) change.evict();
    const ids = changes.flatMap(({ eventId }) => eventId ?? []);
    try {
      const kept = ids.length > 0 ? await this.trail.existing(await runner.connect(), ids) : new Set();
      for (const change of changes) if (change.eventId === null || kept.has(change.eventId)) change.report();
    } catch (error) {
      this.logger.error(
        `Events of a committed transaction were written to the trail, but not sent to listeners and sinks: ${wordsOf(error)}`,
      );
    }
  }

  /** Returns the changes of a transaction that has ended; none at the end of a savepoint. */
  private take(runner: QueryRunner): readonly PendingChange[] {
    if (runner.isTransactionActive) return [];
    const changes = this.pending.get(runner) ?? [];
    this.pending.delete(runner);
    return changes;
  }
}
