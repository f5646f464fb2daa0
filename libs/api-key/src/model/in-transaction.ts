import { ApiKeyTransactionError } from './api-key.errors';

/**
 * The part of an `EntityManager` of TypeORM that the library uses. It has no classes of TypeORM, so
 * that a manager of another copy of TypeORM also fits.
 */
export interface TransactionManager {
  /** Missing in a manager that has no transaction, such as `dataSource.manager`. */
  readonly queryRunner?: {
    readonly isTransactionActive: boolean;
    readonly isReleased: boolean;
    connect(): Promise<unknown>;
  };
  readonly connection: { readonly driver: object };
  transaction(...work: never[]): unknown;
}

/** Makes a call of the service part of a transaction of the application. */
export interface InTransaction {
  /**
   * The manager of an open transaction: the argument of
   * `dataSource.transaction(async (manager) => …)`, or `queryRunner.manager`. The transaction must
   * be READ COMMITTED and may write.
   */
  readonly manager: TransactionManager;
}

/**
 * Refuses an argument with a `manager`. The call would otherwise run outside of the transaction.
 * @throws ApiKeyTransactionError
 */
export function refuseManager(argument: object): void {
  if ('manager' in argument)
    throw new ApiKeyTransactionError(
      'manager is in the wrong argument: pass { manager } as the last argument of create, update, rotate or revoke; other calls take no manager',
    );
}
