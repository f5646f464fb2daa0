import { wordsOf } from '../model/error-words';
import { isOfStatement } from './error-codes';

/** Error if the answer to a COMMIT was lost, so that the transaction may have been committed. */
export class UnknownOutcome extends Error {}

/**
 * Throws the error of a failed COMMIT. Throws `UnknownOutcome` unless PostgreSQL itself refused the
 * COMMIT.
 */
export function refuseCommit(error: unknown): never {
  if (isOfStatement(error)) throw error;
  const { code } = Object(error);
  const unknown = new UnknownOutcome(wordsOf(error), { cause: error });
  throw code === undefined ? unknown : Object.assign(unknown, { code });
}
