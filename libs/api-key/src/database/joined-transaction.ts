import { ApiKeyTransactionError } from '../model/api-key.errors';
import { NEEDED_SETTINGS, set } from './begin';
import { codeOf, isInConflict, isLockTimeout, isOfOpenTransaction, withMissingRight } from './error-codes';
import { text } from './fields';
import { asText, EQUALS } from './own-names';
import type { Session } from './session';
import { refuseUnavailable } from './store-errors';

type Work<T> = (session: Session) => Promise<T>;

/** Maximum wait for a lock in a transaction whose application set no maximum. */
const LOCK_TIMEOUT = '8s';
/** SQLSTATE of a SAVEPOINT outside of a transaction. */
const NO_TRANSACTION = '25P01';

/** Settings that the application gets back when the call ends. */
const BORROWED = ['row_security', 'client_encoding', 'array_nulls', 'search_path', 'lock_timeout'];

/**
 * The values stay in the server, because a search path may have characters that the encoding of the
 * session lacks.
 */
const KEEP = BORROWED.map((name) => set(`nestjs_api_key.${name}`, `pg_catalog.current_setting('${name}')`));
const GIVE_BACK = BORROWED.map((name) => set(name, `pg_catalog.current_setting('nestjs_api_key.${name}')`));

/** Begins a call in one message. */
const BEGIN = `SAVEPOINT api_key_call;
  ${nothingOf(KEEP)};
  SELECT ${asText("pg_catalog.current_setting('transaction_isolation')")} AS isolation,
    ${asText("pg_catalog.current_setting('transaction_read_only')")} AS read_only,
    CASE WHEN pg_catalog.current_setting('lock_timeout') ${EQUALS} '0' THEN ${set('lock_timeout', `'${LOCK_TIMEOUT}'`)} END,
    ${NEEDED_SETTINGS}`;
const END = `${nothingOf(GIVE_BACK)}; RELEASE SAVEPOINT api_key_call`;
/** Also gives the settings back, and the locks that the call took. */
const UNDO = 'ROLLBACK TO SAVEPOINT api_key_call; RELEASE SAVEPOINT api_key_call';

/** Returns a statement that evaluates expressions, and sends none of their texts. */
function nothingOf(expressions: readonly string[]): string {
  return `SELECT pg_catalog.left(pg_catalog.concat(${expressions.join(', ')}), 0)`;
}

/**
 * A call of the service in a transaction of the application. The call has a savepoint: if it fails,
 * nothing of it remains, and the application may go on. There is no turn and no retry, because only
 * the application can repeat its transaction.
 */
export class JoinedTransaction {
  private conflict: unknown;

  /** @param runner the query runner of TypeORM, which says when the transaction ends */
  private constructor(
    readonly runner: object,
    private readonly session: Session,
  ) {}

  /**
   * Runs a call.
   * @throws ApiKeyTransactionError if the transaction does not fit
   * @throws the error of PostgreSQL after a deadlock or a lock time-out
   */
  static async run<T>(
    runner: object,
    session: Session,
    call: (joined: JoinedTransaction) => Promise<T>,
  ): Promise<T> {
    const joined = new JoinedTransaction(runner, session);
    const row = await session.row(BEGIN).catch(refuseUnlessOpen);
    try {
      refuseUnfit(text(row, 'isolation'), text(row, 'read_only'));
      const result = await call(joined);
      await session.run(END).catch(refuseUnavailable);
      return result;
    } catch (error) {
      await session.run(UNDO).catch(() => {});
      throw joined.conflict ?? error;
    }
  }

  /** Runs statements that change nothing. The call may go on after they failed. */
  async read<T>(work: Work<T>): Promise<T> {
    await this.session.run('SAVEPOINT api_key_read');
    try {
      const result = await work(this.session);
      await this.session.run('RELEASE SAVEPOINT api_key_read');
      return result;
    } catch (error) {
      await this.session.run('ROLLBACK TO SAVEPOINT api_key_read; RELEASE SAVEPOINT api_key_read');
      throw error;
    }
  }

  /** Makes the change of the call. */
  async change<T>(work: Work<T>): Promise<T> {
    try {
      return await work(this.session);
    } catch (error) {
      if (isInConflict(error) || isLockTimeout(error)) this.conflict = error;
      throw withMissingRight(error);
    }
  }
}

function refuseUnlessOpen(error: unknown): never {
  if (codeOf(error) === NO_TRANSACTION) throw noTransaction();
  if (isOfOpenTransaction(error))
    throw new ApiKeyTransactionError(
      'a statement of the transaction of manager has failed, so PostgreSQL accepts no other: roll the transaction back, and repeat it',
    );
  return refuseUnavailable(error);
}

/** Returns the error for a manager without an open transaction. */
export function noTransaction(): ApiKeyTransactionError {
  return new ApiKeyTransactionError(
    'manager has no open transaction: pass the manager that dataSource.transaction(async (manager) => …) gives, and await the call before the transaction ends',
  );
}

function refuseUnfit(isolation: string, readOnly: string): void {
  if (isolation !== 'read committed')
    throw new ApiKeyTransactionError(
      `the transaction of manager is ${isolation.toUpperCase()}, in which statements do not see what was committed while they waited for a lock: begin it with dataSource.transaction('READ COMMITTED', …)`,
    );
  if (readOnly === 'on')
    throw new ApiKeyTransactionError(
      'the transaction of manager is READ ONLY, or leads to a replica: begin one on the primary that may write',
    );
}
