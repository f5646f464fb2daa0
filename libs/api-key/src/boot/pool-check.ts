import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE } from '../database/data-source';
import type { BootCheck } from './boot-check';

/** What the options of TypeORM become in those of the driver's pool. */
interface PoolDeadlines {
  readonly connectionTimeoutMillis?: number;
  readonly query_timeout?: number;
}

/**
 * Warns of a data source without deadlines. Look-ups and the feed have their own. But a database that
 * falls silent while a connection is opened keeps its place in the pool until TCP gives up, minutes
 * after the database is back, and a change of a key waits as long.
 */
@Injectable()
export class PoolCheck implements BootCheck {
  constructor(@Inject(API_KEY_DATA_SOURCE) private readonly dataSource: DataSource) {}

  warnings(): readonly string[] {
    const { master } = this.dataSource.driver as unknown as { master?: { options?: PoolDeadlines } };
    const { connectionTimeoutMillis, query_timeout: queryTimeout } = master?.options ?? {};
    if (connectionTimeoutMillis && queryTimeout) return [];
    return [
      'The data source has no deadlines, so that keys may be refused with 503 for minutes after a silent database is back: ' +
        'give it connectTimeoutMS: 5_000 and extra: { query_timeout: 15_000 }',
    ];
  }
}
