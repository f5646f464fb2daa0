import { ApiKey, apiKeyMigrations } from 'nestjs-api-key';
import { DataSource } from 'typeorm';
import type { PostgresDataSourceOptions } from 'typeorm/driver/postgres/PostgresDataSourceOptions';
import { CreateOrders1763856060000, CreateUsers1763855940000 } from './src/database/migrations';
import { runningDatabaseUrl } from './src/database/running-database';
import { Order } from './src/orders/order.entity';
import { User } from './src/users/user.entity';

const OPTIONS: PostgresDataSourceOptions = {
  type: 'postgres',
  entities: [User, ApiKey, Order],
  migrations: [
    CreateUsers1763855940000,
    ...apiKeyMigrations({ usersTable: 'users', watchUsers: true }),
    CreateOrders1763856060000,
  ],
  migrationsTransactionMode: 'each',
  uuidExtension: 'pgcrypto',
  connectTimeoutMS: 5_000,
  extra: { statement_timeout: 10_000, query_timeout: 15_000 },
};

/** The data source of the app, its command line, TypeORM's command line and the tests. */
export class AppDataSource extends DataSource {
  /**
   * @param url connection string; without one, that of the database in use is looked up when
   * connecting
   */
  constructor(private readonly url?: string) {
    super({ ...OPTIONS, url });
  }

  override async initialize(): Promise<this> {
    if (this.url === undefined)
      this.setOptions({ url: await runningDatabaseUrl() } as Partial<PostgresDataSourceOptions>);
    return super.initialize();
  }
}

/** For TypeORM's command line: `typeorm migration:run -d dist/ormconfig.js`. */
export default new AppDataSource();
