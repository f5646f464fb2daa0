import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { API_KEY_DATA_SOURCE } from '../database/data-source';
import type { BootCheck } from './boot-check';

/** Options of the driver's pool. TypeORM sets them from its own options. */
interface PoolOptions {
  readonly max?: number;
  readonly connectionTimeoutMillis?: number;
  readonly query_timeout?: number;
}

const ONE_CONNECTION =
  'The pool of the data source has one connection, so that look-ups and changes of keys wait for each other: set poolSize: 4 or more';
const NO_TIMEOUTS =
  'The data source has no timeouts, so that requests may be answered with 503 for minutes after an outage of the database: ' +
  'set connectTimeoutMS: 5_000 and extra: { query_timeout: 15_000 }';

/**
 * Warns if the data source has one connection only, or no deadlines. Look-ups and the feed have
 * deadlines of their own. Without a deadline, a connection attempt to a silent database keeps its
 * place in the pool until TCP gives up. TCP may give up minutes after the database is back. A
 * change of a key waits until then.
 */
@Injectable()
export class PoolCheck implements BootCheck {
  constructor(@Inject(API_KEY_DATA_SOURCE) private readonly dataSource: DataSource) {}

  warnings(): readonly string[] {
    const { master } = this.dataSource.driver as unknown as { master?: { options?: PoolOptions } };
    const { connectionTimeoutMillis, query_timeout: queryTimeout, max } = master?.options ?? {};
    return [
      ...(max === 1 ? [ONE_CONNECTION] : []),
      ...(connectionTimeoutMillis && queryTimeout ? [] : [NO_TIMEOUTS]),
    ];
  }
}
