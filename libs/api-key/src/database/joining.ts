import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import type { ClientBase } from 'pg';
import type { DataSource } from 'typeorm';
import { ApiKeyTransactionError } from '../model/api-key.errors';
import type { InTransaction, TransactionManager } from '../model/in-transaction';
import { API_KEY_DATA_SOURCE } from './data-source';
import { Database } from './database';
import { JoinedTransaction, noTransaction } from './joined-transaction';
import { Session } from './session';
import { refuseUnavailable } from './store-errors';
import { Subscription } from './subscription';

type Runner = NonNullable<TransactionManager['queryRunner']>;

/** No time limit in this process: the settings of the application and of PostgreSQL apply. */
const NO_LIMIT = 0;

/**
 * Lets calls of the service join a transaction of the application. The COMMIT or ROLLBACK of
 * TypeORM waits for calls that the application did not await. Otherwise their last statements would
 * run outside of the transaction, and remain after its rollback.
 */
@Injectable()
export class Joining implements OnApplicationShutdown {
  /** The end of the last call in each transaction. */
  private readonly last = new WeakMap<object, Promise<unknown>>();
  /** Transactions and savepoints whose end TypeORM is sending. */
  private readonly ending = new WeakSet<object>();
  private readonly subscription: Subscription;

  constructor(
    @Inject(API_KEY_DATA_SOURCE) private readonly dataSource: DataSource,
    private readonly database: Database,
  ) {
    const end = ({ queryRunner }: { readonly queryRunner: object }) => this.end(queryRunner);
    const ended = ({ queryRunner }: { readonly queryRunner: object }) => {
      this.ending.delete(queryRunner);
    };
    this.subscription = new Subscription(dataSource, {
      beforeTransactionCommit: end,
      beforeTransactionRollback: end,
      afterTransactionCommit: ended,
      afterTransactionRollback: ended,
    });
  }

  onApplicationShutdown(): void {
    this.subscription.end();
  }

  /**
   * Runs a call in the transaction of the application, or without one if `within` is missing. Calls
   * in one transaction run one after the other, because their savepoints must not overlap.
   * @throws ApiKeyTransactionError if the call cannot be part of the transaction
   */
  async run<T>(
    within: InTransaction | undefined,
    call: (joined: JoinedTransaction | null) => Promise<T>,
  ): Promise<T> {
    if (within === undefined) return call(null);
    const runner = this.runnerOf(within);
    this.subscription.renew();
    const before = this.last.get(runner);
    const result = this.join(runner, before, call);
    this.last.set(
      runner,
      result.catch(() => {}),
    );
    return result;
  }

  private async join<T>(
    runner: Runner,
    before: Promise<unknown> | undefined,
    call: (joined: JoinedTransaction) => Promise<T>,
  ): Promise<T> {
    await before;
    const isOver = !runner.isTransactionActive || runner.isReleased || this.ending.has(runner);
    if (isOver) throw noTransaction();
    const client = (await runner.connect()) as ClientBase;
    const session = () => new Session(client, this.database.tables, NO_LIMIT);
    const find = <Found>(work: (session: Session) => Promise<Found>) =>
      JoinedTransaction.run(runner, session(), (joined) => joined.read(work));
    await this.database.locate(find).catch(refuseUnavailable);
    return JoinedTransaction.run(runner, session(), call);
  }

  /** Waits for the calls in a transaction, and lets no other call begin until it has ended. */
  private async end(runner: object): Promise<void> {
    let waited: Promise<unknown> | undefined;
    while (waited !== this.last.get(runner)) {
      waited = this.last.get(runner);
      await waited;
    }
    this.ending.add(runner);
  }

  private runnerOf(within: InTransaction): Runner {
    const manager: unknown = Object(within).manager;
    if (!isManager(manager))
      throw new ApiKeyTransactionError(
        'manager is no EntityManager of TypeORM: pass { manager } with the manager that dataSource.transaction(async (manager) => …) gives, or omit the argument',
      );
    if (manager.connection.driver !== this.dataSource.driver)
      throw new ApiKeyTransactionError(
        'manager belongs to another data source than ApiKeyModule: pass a manager of the data source that stores the keys',
      );
    if (!manager.queryRunner) throw noTransaction();
    return manager.queryRunner;
  }
}

/** Also of another copy of TypeORM, whose class differs. */
function isManager(value: unknown): value is TransactionManager {
  if (typeof value !== 'object' || value === null) return false;
  const { connection, transaction } = value as Partial<TransactionManager>;
  return typeof transaction === 'function' && typeof Object(connection).driver === 'object';
}
