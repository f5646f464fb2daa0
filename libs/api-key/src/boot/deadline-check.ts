import { Inject, Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE } from '../database/data-source';

/** What the options of TypeORM become in those of the driver's pool. */
interface PoolDeadlines {
  readonly connectionTimeoutMillis?: number;
  readonly query_timeout?: number;
}

/**
 * Says at boot where a data source has no deadlines. Look-ups and the feed have their own; but a database that falls silent while a
 * connection is opened holds its place in the pool until TCP gives up, minutes after the database is back, and a change of a key waits as long.
 */
@Injectable()
export class DeadlineCheck implements OnApplicationBootstrap {
  private readonly logger = new Logger('ApiKeyModule');

  constructor(@Inject(API_KEY_DATA_SOURCE) private readonly dataSource: DataSource) {}

  onApplicationBootstrap(): void {
    const { master } = this.dataSource.driver as unknown as { master?: { options?: PoolDeadlines } };
    const { connectionTimeoutMillis, query_timeout: queryTimeout } = master?.options ?? {};
    if (connectionTimeoutMillis && queryTimeout) return;
    this.logger.warn(
      'The data source has no deadlines, so that keys may be refused with 503 for minutes after a silent database is back: ' +
        'give it connectTimeoutMS: 5_000 and extra: { query_timeout: 15_000 }',
    );
  }
}
