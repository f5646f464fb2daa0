import type { Database } from '../database/database';
import { refuseUnavailable } from '../database/store-errors';
import { storedOwner } from '../database/stored-owner';
import { type Acting, ownerOf } from '../model/acting';
import { ownerIdOf } from './input';

const NO_ACTOR = 'the acting owner or key must be named; leave it out to act for nobody';

/**
 * Names who acts as the table does.
 * @throws ApiKeyInputError as `ownerOf`, or if the owner can be none
 */
export async function actingAsStored(database: Database, acting: Acting): Promise<Acting> {
  if (acting.userId === undefined || acting.userId === acting.apiKey?.userId) {
    ownerOf(acting);
    return acting;
  }
  const userId = await ownerAsStored(database, acting.userId, NO_ACTOR);
  const by = { ...acting, userId };
  ownerOf(by);
  return by;
}

/**
 * Names an owner as the table does.
 * @throws ApiKeyInputError with the problem if it can be none
 */
export async function ownerAsStored(database: Database, userId: unknown, problem: string): Promise<string> {
  return storedOwner(database, ownerIdOf(userId, problem)).catch(refuseUnavailable);
}
