import { refuseUnavailable } from '../database/store-errors';
import { isOfOwner, laneOfSpelling, type Reads, storedOwner } from '../database/stored-owner';
import type { ReadKind } from '../database/turns';
import { type Acting, copyOfActing, ownerOf, refuseOtherObject } from '../model/acting';
import { ownerIdOf } from './input';

const NO_ACTOR = 'the acting owner or key is missing; omit the argument to act as the application itself';

/**
 * Converts the acting owner to the spelling that column `user_id` stores.
 * @param kind `ending` if the call ends keys
 * @throws ApiKeyInputError in the cases of `ownerOf`, or if `acting.userId` cannot be an owner
 */
export async function actingAsStored(
  database: Reads,
  acting: Acting,
  kind: ReadKind = 'read',
): Promise<Acting> {
  refuseOtherObject(acting);
  if (acting.userId === undefined || acting.userId === acting.apiKey?.userId) {
    ownerOf(acting);
    return acting;
  }
  const named = ownerIdOf(acting.userId, NO_ACTOR);
  const userId = await asStored(database, named, kind, named);
  const by = { ...copyOfActing(acting), userId };
  ownerOf(by);
  return by;
}

/**
 * Converts an owner to the spelling that column `user_id` stores.
 * @param acting the owner that acts, in that spelling; null: the application itself
 * @param kind `ending` if the call ends keys
 * @throws ApiKeyInputError with `problem` if `userId` cannot be an owner
 */
export async function ownerAsStored(
  database: Reads,
  userId: unknown,
  problem: string,
  acting: string | null,
  kind: ReadKind = 'read',
): Promise<string> {
  const named = ownerIdOf(userId, problem);
  return named === acting ? named : asStored(database, named, kind, acting);
}

/** One owner waits in a lane, so that its calls do not delay those of others. */
async function asStored(
  database: Reads,
  named: string,
  kind: ReadKind,
  acting: string | null,
): Promise<string> {
  const lanes = acting === null ? [] : [laneOfSpelling(acting)];
  return storedOwner(database, named, { kind, lanes }).catch(refuseUnavailable);
}

/**
 * Returns no keys if a statement failed because column `user_id` cannot hold the owner.
 * @throws as `refuseUnavailable` for any other error, so that it does not look like "no such keys"
 */
export async function noKeysIfOfOwner(
  database: Reads,
  owner: string | null,
  error: unknown,
): Promise<never[]> {
  if (owner !== null && (await isOfOwner(database, owner, error).catch(refuseUnavailable))) return [];
  return refuseUnavailable(error);
}
